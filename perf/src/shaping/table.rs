//! Every receiver with every sender, as a table and pictures.

use super::chart;
use super::receiver::Receiver;
use super::score::{Score, score};
use super::senders::{Fixed, Ours, Postfix, Sender};
use super::world::{EPOCH, Second, play};
use engine::clock::Timestamp;
use engine::throttle::Learned;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A way to choose a pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Ten connections and a hundred messages a second, which is what the best-kept open set of rules gives to anybody.
    Fixed,
    Postfix,
    Ours,
}

pub const WAYS: [Way; 3] = [Way::Fixed, Way::Postfix, Way::Ours];

/// How long after a run the next one starts, as far as what was learned goes.
const NEXT_NIGHT: u64 = 86_400_000;

impl Way {
    pub fn word(self) -> &'static str {
        match self {
            Way::Fixed => "fixed",
            Way::Postfix => "Postfix",
            Way::Ours => "ours",
        }
    }

    fn sender(self, receiver: &Receiver, learned: Option<Learned>) -> Box<dyn Sender> {
        match self {
            Way::Fixed => Box::new(Fixed::new(receiver.connections.min(10), 100)),
            Way::Postfix => Box::new(Postfix::new(receiver.connections, true)),
            Way::Ours => Box::new(Ours::new(receiver.connections, learned, Timestamp(EPOCH))),
        }
    }

    /// One run.
    pub fn run(self, receiver: &Receiver, seed: u64) -> (Vec<Second>, Option<Learned>) {
        play(receiver, &mut *self.sender(receiver, None), seed)
    }

    /// The next night's, which starts from what the last one learned.
    pub fn run_again(self, receiver: &Receiver, learned: Option<Learned>, seed: u64) -> Vec<Second> {
        let learned =
            learned.map(|learned| Learned { at: Timestamp(EPOCH - NEXT_NIGHT), held_until: Timestamp(0), ..learned });
        play(receiver, &mut *self.sender(receiver, learned), seed).0
    }
}

/// Plays all receivers of `folder` with `seeds` seeds; pictures go beside `stem`. Gives the table.
///
/// # Errors
/// A receiver can't be read, or a picture not written.
pub fn measure(folder: &Path, seeds: u64, stem: &Path) -> Result<String, Box<dyn Error>> {
    let mut text = String::from(
        "| receiver | sender | refused | throughput | refused in the 1st minute | in the next night's 1st | follows down, s | back, s | refused then |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let receivers = read(folder)?;
    for receiver in &receivers {
        let mut plays = Vec::new();
        for way in WAYS {
            let runs: Vec<_> = (1..=seeds.max(1)).map(|seed| (seed, way.run(receiver, seed))).collect();
            let scores: Vec<_> = runs.iter().map(|(_, (seconds, _))| score(receiver, seconds)).collect();
            let next = runs.iter().map(|(seed, (_, learned))| {
                let seconds = way.run_again(receiver, learned.clone(), seed + 1000);
                score(receiver, &seconds).first_minute
            });
            writeln!(text, "| {} | {} | {} |", receiver.name, way.word(), line(&scores, next.max().unwrap_or(0)))?;
            plays.extend(runs.into_iter().next().map(|(_, (seconds, _))| (way.word(), seconds)));
        }
        let picture = PathBuf::from(format!("{}-{}.svg", stem.display(), receiver.name));
        chart::draw(&picture, &format!("{}: {}", receiver.name, receiver.about), &plays)?;
    }
    writeln!(text, "\nWorst of {seeds} seeds. Shares are of the steady state, from the third minute on.\n")?;
    for receiver in &receivers {
        writeln!(text, "- `{}`: {}", receiver.name, receiver.about)?;
    }
    Ok(text)
}

/// All receivers of a folder, by name.
///
/// # Errors
/// One can't be read.
pub fn read(folder: &Path) -> Result<Vec<Receiver>, Box<dyn Error>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| Receiver::read(path)).collect()
}

fn line(scores: &[Score], next: u32) -> String {
    let most = |figure: fn(&Score) -> f64| scores.iter().map(figure).fold(f64::MIN, f64::max);
    let least = |figure: fn(&Score) -> f64| scores.iter().map(figure).fold(f64::MAX, f64::min);
    let seconds = |figure: fn(&Score) -> Option<usize>| match scores.iter().map(figure).collect::<Option<Vec<_>>>() {
        Some(all) => all.into_iter().max().unwrap_or_default().to_string(),
        None => "never".to_owned(),
    };
    let changes = scores.iter().any(|score| score.change.down.is_some() || score.change.back.is_some());
    let (down, back, wave) = if changes {
        (
            seconds(|score| score.change.down),
            seconds(|score| score.change.back),
            most(|score| score.change.second_wave.into()).to_string(),
        )
    } else {
        Default::default()
    };
    format!(
        "{:.2} % | {:.1} % | {} | {next} | {down} | {back} | {wave}",
        most(|score| score.refused) * 100.0,
        least(|score| score.throughput) * 100.0,
        most(|score| score.first_minute.into()),
    )
}
