//! A run in ten parts: whether its last rows cost what its first did, and which threads cost more if not.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;

/// The last tenth may cost this much of the first.
const FLAT: f64 = 1.05;

/// What was counted so far when so many messages had been taken. Seconds are of CPU.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    pub messages: f64,
    pub sender: f64,
    pub sink: f64,
    /// Signatures, and verifying them where that is done.
    pub signatures: f64,
    pub threads: BTreeMap<String, f64>,
}

/// The marks of a run of `rows`.
#[derive(Clone, Debug, Default)]
pub struct Course {
    rows: f64,
    marks: Vec<Mark>,
}

/// What a message cost in one tenth, in µs of CPU.
struct Tenth<'a> {
    from: &'a Mark,
    to: &'a Mark,
}

impl Course {
    pub fn of(rows: f64) -> Course {
        Course { rows, marks: Vec::new() }
    }

    /// Whether the next mark is due at `messages`. The first is, at the first message: before it the sender only starts.
    pub fn is_due(&self, messages: f64) -> bool {
        let tenths = u32::try_from(self.marks.len()).unwrap_or(u32::MAX);
        messages >= (self.rows * f64::from(tenths) / 10.0).max(1.0) && tenths <= 10
    }

    pub fn mark(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    fn tenths(&self) -> impl Iterator<Item = Tenth<'_>> {
        self.marks.windows(2).map(|pair| Tenth { from: &pair[0], to: &pair[1] })
    }

    /// A line for each tenth, and how the last compares with the first.
    ///
    /// # Errors
    /// None; writing to a text does not fail.
    pub fn table(&self) -> Result<String, Box<dyn Error>> {
        let Some(threads) = self.marks.last().map(|mark| mark.threads.keys().collect::<Vec<_>>()) else {
            return Ok(String::new());
        };
        let shown = |thread: &&String| self.tenths().any(|tenth| tenth.of_thread(thread) >= 0.5);
        let threads: Vec<&String> = threads.into_iter().filter(|thread| shown(thread)).collect();
        let mut text = String::from(
            "\nCPU µs a message by tenths of the last run; signatures and the sink do the same for each, and so show the machine.\n\n",
        );
        let names: String = threads.iter().map(|thread| format!(" {thread} |")).collect();
        writeln!(text, "| to message | sender | signatures | sink |{names}\n|{}", "---|".repeat(4 + threads.len()))?;
        for tenth in self.tenths() {
            let Tenth { to, .. } = tenth;
            let costs = [tenth.of(|mark| mark.sender), tenth.of(|mark| mark.signatures), tenth.of(|mark| mark.sink)];
            let costs = costs.into_iter().chain(threads.iter().map(|thread| tenth.of_thread(thread)));
            let cells: String = costs.map(|cost| format!(" {cost:.1} |")).collect();
            writeln!(text, "| {:.0} |{cells}", to.messages)?;
        }
        text += &self.verdict();
        Ok(text)
    }

    fn verdict(&self) -> String {
        let (Some(first), Some(last)) = (self.tenths().next(), self.tenths().last()) else { return String::new() };
        let ratio = |part: fn(&Mark) -> f64| last.of(part) / first.of(part);
        let sender = ratio(|mark| mark.sender);
        format!(
            "\nThe last tenth costs {sender:.3} of the first (bar {FLAT}: {}); its signatures {:.3}, the sink {:.3}.\n",
            if sender <= FLAT { "**pass**" } else { "**fail**" },
            ratio(|mark| mark.signatures),
            ratio(|mark| mark.sink),
        )
    }
}

impl Tenth<'_> {
    fn of(&self, part: impl Fn(&Mark) -> f64) -> f64 {
        (part(self.to) - part(self.from)) * 1e6 / (self.to.messages - self.from.messages)
    }

    fn of_thread(&self, name: &str) -> f64 {
        self.of(|mark| mark.threads.get(name).copied().unwrap_or(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 100 messages in which a message costs as many µs as `cost` says of its number.
    fn run(cost: impl Fn(u32) -> f64) -> Course {
        let mut course = Course::of(100.0);
        let mut sum = 0.0;
        for message in 1..=100 {
            sum += cost(message) * 1e-6;
            if course.is_due(f64::from(message)) {
                let threads = [("shard".to_owned(), sum / 2.0), ("idle".to_owned(), 0.0)].into();
                course.mark(Mark { messages: f64::from(message), sender: sum, threads, ..Mark::default() });
            }
        }
        course
    }

    #[test]
    fn each_tenth_has_its_own_cost() {
        let table = run(|message| if message <= 90 { 100.0 } else { 106.0 }).table().expect("a table");
        assert!(table.contains("| to message | sender | signatures | sink | shard |\n"), "{table}");
        assert!(table.contains("| 90 | 100.0 | 0.0 | 0.0 | 50.0 |\n| 100 | 106.0 | 0.0 | 0.0 | 53.0 |\n"), "{table}");
        assert!(table.contains("costs 1.060 of the first (bar 1.05: **fail**)"), "{table}");
        assert_eq!(table.matches("\n| ").count(), 11, "{table}");
    }

    #[test]
    fn a_run_that_stays_flat_passes_and_an_empty_one_says_nothing() {
        let table = run(|message| if message <= 90 { 100.0 } else { 104.0 }).table().expect("a table");
        assert!(table.contains("(bar 1.05: **pass**)"), "{table}");
        assert_eq!(Course::of(5.0).table().expect("nothing"), "");
    }
}
