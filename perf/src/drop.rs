//! A site whose limit falls to a tenth in mid-run and comes back after ten minutes, met by the real binary: how soon the pace
//! follows down and back, and whether a second wave of refusals comes.

use crate::desk::Desk;
use crate::shaping::{self, Second};
use crate::sink::Sink;
use serde_json::Value;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Messages a second, and when they are a tenth of that, in seconds since the sink began.
const RATE: u32 = 20;
const FALL: usize = 300;
const RISE: usize = 900;
const END: usize = 1500;
/// Bars: seconds to follow down and back; refusals of the whole second wave, as a share of what was offered meanwhile.
const DOWN: usize = 30;
const BACK: usize = 300;
const WAVE: f64 = 0.02;

/// Sends for 25 minutes and draws what happened; gives the table.
///
/// # Errors
/// A row is not delivered, or paid with an attempt for what was refused to all.
pub fn measure(sealpost: &Path, folder: &Path, picture: &Path) -> Result<String, Box<dyn Error>> {
    let desk = Desk::new(sealpost, folder)?;
    let limits = format!(
        "[[limits]]\nrate = \"{RATE}/s\"\n[[limits]]\nfrom = \"{FALL}s\"\nrate = \"{}/s\"\nburst = 2\n\
         [[limits]]\nfrom = \"{RISE}s\"\nrate = \"{RATE}/s\"\n",
        RATE / 10
    );
    let file = folder.join("limits.toml");
    std::fs::write(&file, limits)?;
    let file = file.to_str().ok_or("a folder with an odd name")?;
    let sink = Sink::start(Command::new(sealpost), folder, "site", &["--limits", file, "--course"])?;
    desk.machine(&format!(
        "[dns.static]\n\"*\" = {{ host = \"mx.site.example\", address = \"{}\" }}\n[tls]\nroots = [\"site.pem\"]\n",
        sink.address
    ))?;
    // More than it can take until the end, by a little.
    let rows: f64 = (0..END + 20).map(capacity).sum();
    let rows = (0_u64..).take_while(|row| crate::sending::f64_of(*row) < rows).count() as u64;
    let campaign = desk.campaign("drop", (0..rows).map(|row| format!("r{row}@mail.example")), "")?;
    let counts = desk.asked(&["send", &campaign, "--json"])?;
    println!("{counts}");
    let report = desk.asked(&["report", &campaign, "--json"])?;
    if report["delivered_by_attempts"]["1"].as_u64() != Some(rows) {
        return Err(format!("rows paid for what was refused to all: {report}").into());
    }
    let totals: Value = serde_json::from_str(&sink.last_line()?)?;
    let seconds = seconds(&totals["course"])?;
    shaping::draw(
        picture,
        "20 messages a second, 2 from the fifth to the fifteenth minute",
        &[("sealpost", seconds.clone())],
    )?;
    table(&seconds)
}

/// What the site takes in that second.
fn capacity(second: usize) -> f64 {
    if (FALL..RISE).contains(&second) { f64::from(RATE) / 10.0 } else { f64::from(RATE) }
}

/// The seconds until the end.
fn seconds(course: &Value) -> Result<Vec<Second>, Box<dyn Error>> {
    let all = course["seconds"].as_array().filter(|all| all.len() >= END).ok_or("it was over too soon")?;
    let second = |(at, second): (usize, &Value)| -> Result<Second, Box<dyn Error>> {
        let of = |name: &str| {
            u32::try_from(second[name].as_u64().ok_or(format!("no {name} in the course"))?)
                .map_err(Box::<dyn Error>::from)
        };
        let refused = of("refused_rate")? + of("refused_connections")?;
        let offered = of("offered")? + of("refused_connections")?;
        Ok(Second { offered, accepted: of("accepted")?, refused, capacity: capacity(at) })
    };
    all.iter().take(END).enumerate().map(second).collect()
}

fn table(seconds: &[Second]) -> Result<String, Box<dyn Error>> {
    let change = shaping::change(seconds, FALL, RISE);
    let mut text = String::from("| | | bar | |\n|---|--:|--:|---|\n");
    let mut say = |what: &str, figure: Option<usize>, bar: usize| {
        let (word, holds) =
            (figure.map_or("never".into(), |figure| figure.to_string()), figure.is_some_and(|figure| figure <= bar));
        writeln!(text, "| {what} | {word} | {bar} | {} |", if holds { "**pass**" } else { "**fail**" })
    };
    say("seconds from the fall until hardly anything is refused", change.down, DOWN)?;
    say("seconds from the rise until 95 % of the limit are used", change.back, BACK)?;
    let wave: u32 = seconds[RISE..].iter().map(|second| second.refused).sum();
    let offered: u32 = seconds[RISE..].iter().map(|second| second.offered).sum();
    let bar = (f64::from(offered) * WAVE).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "thousands")]
    say("refused from the rise to the end", Some(wave as usize), bar as usize)?;
    for (what, span) in [("before the fall", 60..FALL), ("in between", FALL..RISE), ("after the rise", RISE..END)] {
        let sum = |figure: fn(&Second) -> u32| seconds[span.clone()].iter().map(figure).sum::<u32>();
        let (offered, accepted, refused) =
            (sum(|second| second.offered), sum(|second| second.accepted), sum(|second| second.refused));
        let capacity: f64 = span.clone().map(capacity).sum();
        let used = f64::from(accepted) / capacity * 100.0;
        writeln!(
            text,
            "\n{what}: {offered} offered, {accepted} accepted ({used:.1} % of the limit), {refused} refused."
        )?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows the fall after ten seconds and the rise after a hundred.
    fn followed(late: usize) -> Vec<Second> {
        let second = |at: usize| {
            let offered = match at {
                FALL..RISE if at < FALL + late => RATE,
                FALL..RISE => RATE / 10,
                _ if at >= RISE && at < RISE + 10 * late => RATE / 10,
                _ => RATE,
            };
            let capacity = capacity(at);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let accepted = offered.min(capacity as u32);
            Second { offered, accepted, refused: offered - accepted, capacity }
        };
        (0..END).map(second).collect()
    }

    #[test]
    fn who_follows_passes_and_who_does_not_fails() {
        let good = table(&followed(10)).expect("a table");
        assert!(good.contains("| 10 | 30 | **pass** |") && good.contains("| 100 | 300 | **pass** |"), "{good}");
        let bad = table(&followed(40)).expect("a table");
        assert!(bad.contains("| 40 | 30 | **fail** |") && bad.contains("| 400 | 300 | **fail** |"), "{bad}");
    }

    #[test]
    fn a_course_that_ends_early_is_no_course() {
        assert!(seconds(&serde_json::json!({"seconds": []})).is_err());
    }
}
