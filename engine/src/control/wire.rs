//! What travels over the socket, as JSON. No PHI, and no key.

use crate::mail::{Kind, Level, RunId};
use crate::probe::Finding;
use crate::store::{Latency, Manifest, Tally};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How the engine stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EngineView {
    /// Its process.
    pub pid: u32,
    /// When it was started, in milliseconds since 1970.
    #[serde(default)]
    pub since: u64,
    /// Whether it takes no more campaigns and reads no more input.
    pub draining: bool,
    /// What keeps it from sending.
    pub conditions: Vec<ConditionView>,
    /// What an operator paused.
    pub paused: Vec<Target>,
    /// Which shaping rules it goes by.
    #[serde(default)]
    pub shaping: Option<RulesView>,
    /// Open runs, and those that ended since it started; the first opened first.
    pub runs: Vec<RunView>,
}

/// A file of shaping rules, as an engine has read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesView {
    /// Where it is.
    pub file: String,
    /// SHA-256 of what was read, in hexadecimal.
    pub digest: String,
}

/// A trouble of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionView {
    /// A [`Condition`](crate::condition::Condition)'s word.
    pub what: String,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// What is wrong, and where.
    pub why: String,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// The campaign's name.
    pub campaign: String,
    /// The run, as [`RunId`] is written.
    pub run: String,
    /// When it was opened, in milliseconds since 1970.
    pub opened: u64,
    /// What it is doing.
    pub state: RunState,
    /// Rows read from the input.
    pub read: u64,
    /// Rows by how they ended: a [`Kind`]'s number.
    pub ended: BTreeMap<u8, u64>,
    /// Rows that wait for a time.
    pub deferred: u64,
    /// Rows that wait for their turn.
    pub waiting: u64,
    /// Rows the input has, where that is known.
    pub rows: Option<u64>,
    /// Whether the input was read to its end.
    pub read_all: bool,
    /// Rows that the last engine left in doubt.
    pub found_in_doubt: u64,
    /// Why the input could not be read further; what was read before is still sent.
    pub input_broke: Option<String>,
    /// Seconds this engine worked on it.
    pub seconds: f64,
    /// Messages delivered by this engine.
    pub delivered_now: u64,
    /// How long messages took on the wire.
    pub latency: Option<Latency>,
    /// Why it ended, if it failed.
    pub failed: Option<Refusal>,
    /// Messages delivered a second, lately ([`Recent`](crate::clock::Recent)).
    #[serde(default)]
    pub recent: f64,
    /// Providers and sources at which its rows are cancelled.
    #[serde(default)]
    pub cancelled_at: Vec<Target>,
    /// Why its brake has stopped it.
    #[serde(default)]
    pub braked: Option<String>,
    /// Why brakes hold its rows at providers.
    #[serde(default)]
    pub held: Vec<String>,
    /// Canaries that other rows wait for: the provider, and how far it is.
    #[serde(default)]
    pub canaries: Vec<String>,
    /// Whether its PHI may leave in clear.
    #[serde(default)]
    pub phi_in_clear: bool,
    /// How many of its waiting rows wait for tomorrow: its sources warm up, and have sent what they may today.
    #[serde(default)]
    pub tomorrow: u64,
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is being sent.
    Running,
    /// An operator paused it.
    Paused,
    /// It rests with rows left: an engine was stopped, or has ended it for now.
    Stopped,
    /// Its brake has stopped it: too many rows were dropped, and a person is to say whether it goes on.
    Braked,
    /// Every row has ended.
    Finished,
    /// An operator cancelled it.
    Cancelled,
}

impl RunState {
    /// Its word in `status`.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Stopped => "stopped",
            RunState::Braked => "braked",
            RunState::Finished => "finished",
            RunState::Cancelled => "cancelled",
        }
    }

    /// Whether this engine has nothing more to do for it.
    pub fn is_over(self) -> bool {
        matches!(self, RunState::Stopped | RunState::Braked | RunState::Finished | RunState::Cancelled)
    }
}

impl RunView {
    /// A run that nobody is at work on, as the store has it.
    pub fn at_rest(run: RunId, manifest: &Manifest, tally: &Tally, state: RunState) -> RunView {
        RunView {
            campaign: manifest.campaign.clone(),
            run: run.to_string(),
            opened: manifest.opened.0,
            state,
            read: tally.read,
            ended: tally.ended.iter().map(|(kind, rows)| (kind.number(), *rows)).collect(),
            deferred: tally.deferred,
            waiting: tally.waiting,
            rows: manifest.read_all.then_some(tally.read),
            read_all: manifest.read_all,
            found_in_doubt: 0,
            input_broke: None,
            seconds: 0.0,
            delivered_now: 0,
            latency: manifest.latency,
            failed: None,
            recent: 0.0,
            cancelled_at: cancelled_at(manifest),
            braked: manifest.braked.as_ref().filter(|_| state == RunState::Braked).map(|braked| braked.why.clone()),
            held: manifest.held_providers.iter().map(|held| held.why.clone()).collect(),
            canaries: Vec::new(),
            phi_in_clear: manifest.phi_in_clear,
            tomorrow: 0,
        }
    }

    /// Rows that ended as `kind`.
    pub fn count(&self, kind: Kind) -> u64 {
        self.ended.get(&kind.number()).copied().unwrap_or(0)
    }

    /// Its rows, counted.
    pub fn tally(&self) -> Tally {
        let kind = |(number, rows): (&u8, &u64)| Some((Kind::from_number(*number)?, *rows));
        let ended = self.ended.iter().filter_map(kind).collect();
        Tally { read: self.read, ended, deferred: self.deferred, waiting: self.waiting }
    }

    /// Messages a second that this engine has delivered, over all its time at the run.
    pub fn messages_per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
        let delivered = self.delivered_now as f64;
        if self.seconds > 0.0 { delivered / self.seconds } else { 0.0 }
    }
}

/// What an operator cancelled of a run besides its whole.
fn cancelled_at(manifest: &Manifest) -> Vec<Target> {
    let providers = manifest.cancelled_providers.iter().cloned().map(Target::Provider);
    providers.chain(manifest.cancelled_sources.iter().cloned().map(Target::Source)).collect()
}

/// A campaign handed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submit {
    /// The campaign file, absolute.
    pub campaign: PathBuf,
    /// Take up at most this many new rows.
    pub limit: Option<u64>,
    /// Send also to keys that were sent before.
    pub again: bool,
    /// The run whose unread rows are given up.
    pub abandon: Option<String>,
    /// End when only deferred rows are left.
    pub until_empty: bool,
    /// Stop with rows left at this time, in milliseconds since 1970.
    pub deadline: Option<u64>,
}

/// What a command is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Everything.
    All,
    /// A run, by the name `status` shows.
    Run(String),
    /// A provider, by its rule's name or that of its best MX host, as `/metrics` names it.
    Provider(String),
    /// A source.
    Source(String),
}

/// Domains to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which probe they belong to: hosts that it has seen are not visited again.
    pub id: u64,
    /// The floor of TLS.
    pub floor: Level,
    /// Some of its domains, lower case, A-labels.
    pub domains: Vec<String>,
}

/// Why a command was not carried out, or a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What is wrong.
    pub what: String,
    /// What the operator can do.
    pub hint: Option<String>,
    /// The exit code of DESIGN's table.
    pub code: u8,
}

impl Refusal {
    /// The operator can mend it.
    pub fn usage(what: impl Into<String>) -> Refusal {
        Refusal { what: what.into(), hint: None, code: 2 }
    }

    /// There is no run of that name.
    pub fn no_run(run: &str) -> Refusal {
        let hint = Some("`sealpost status` lists the runs".into());
        Refusal { hint, ..Refusal::usage(format!("the engine knows no run {run}")) }
    }
}

/// What an engine can be asked to do; served over the socket, and called directly by the process that is the engine.
pub trait Commands: Send + Sync {
    /// How it stands.
    fn view(&self) -> EngineView;
    /// How a run stands, by the name that `status` shows.
    ///
    /// # Errors
    /// There is no such run among those of the view.
    fn run(&self, run: &str) -> Result<RunView, Refusal> {
        let found = self.view().runs.into_iter().find(|view| view.run == run);
        found.ok_or_else(|| Refusal::no_run(run))
    }
    /// Opens, resumes or finds finished the run of a campaign; the answer is its view now.
    ///
    /// # Errors
    /// Whatever stops it before its first message.
    fn submit(&self, campaign: &Submit) -> Result<RunView, Refusal>;
    /// Begins no further message of `target`. Answers with what whoever asked should know, if there is something.
    ///
    /// # Errors
    /// There is no such target.
    fn pause(&self, target: &Target) -> Result<Option<String>, Refusal>;
    /// Takes a pause back.
    ///
    /// # Errors
    /// It was not paused.
    fn resume(&self, target: &Target) -> Result<(), Refusal>;
    /// Ends the rows of `target` that are not on a wire as cancelled. Answers how many, of a run; rows at a provider or from a
    /// source end when their turn comes.
    ///
    /// # Errors
    /// There is no such target, or the store can't be written.
    fn cancel(&self, target: &Target) -> Result<u64, Refusal>;
    /// Looks at domains without sending. Answers with those that it came to before it was told to stop.
    ///
    /// # Errors
    /// It can't look.
    fn probe(&self, probe: &Probe) -> Result<Vec<Finding>, Refusal>;
    /// Takes no more campaigns, reads no more input, sends what is in memory, and ends.
    fn drain(&self);
}
