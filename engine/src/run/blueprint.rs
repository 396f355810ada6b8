//! A campaign held against its input: columns there, templates compiled, names right. What `check`, `preview`, `--dry-run`
//! and `send` have in common.

use super::Error;
use crate::clock::Timestamp;
use crate::gate::{Gate, Keys, Rules, Seen, Verdict};
use crate::mail::{Kind, Outcome, Row, RunId};
use crate::plan::Campaign;
use crate::render::{Column, ColumnsUsed, Renderer};
use crate::secret::TokenKey;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use loader::{Batch, Mark, Watched};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A campaign whose input was opened and whose columns are there.
pub struct Blueprint {
    campaign: Campaign,
    input: loader::Input,
    columns: Vec<Column>,
    fingerprint: String,
    run: RunId,
    watching: bool,
}

/// What a pass over rows found, without sending.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Rows looked at.
    pub rows: u64,
    /// Rows that would be sent.
    pub good: u64,
    /// Rows that would end before a message is made, by outcome and reason.
    pub refused: BTreeMap<(Kind, String), u64>,
    /// The first few of them.
    pub first_refused: Vec<SampleRow>,
    /// Octets of the largest message, unsigned.
    pub largest: usize,
}

/// One refused row. The text names columns, never values.
#[derive(Clone, Debug)]
pub struct SampleRow {
    /// Its ordinal.
    pub row: u64,
    /// How it would end.
    pub outcome: Kind,
    /// Why.
    pub text: String,
}

const SHOWN: usize = 5;

impl Blueprint {
    /// Opens the input of `campaign` and checks every column that the campaign names.
    ///
    /// # Errors
    /// The input can't be read, a column is missing, or PHI would leave in clear and nobody has said that it may.
    pub fn new(campaign: Campaign) -> Result<Blueprint, Error> {
        let source = &campaign.source;
        let input = loader::open(&source.spec)?;
        let columns: Vec<_> =
            input.columns().iter().map(|(name, shape)| Column { name: name.clone(), shape: shape.clone() }).collect();
        let named = [("[input] recipient", &source.recipient), ("[input] key", &source.key)];
        let public = source.public.iter().map(|name| ("[input] public", name));
        for (role, name) in named.into_iter().chain(public) {
            if !columns.iter().any(|column| column.name == *name) {
                return Err(Error::NoColumn {
                    campaign: campaign.path.clone(),
                    role,
                    column: name.clone(),
                    input: input.files()[0].clone(),
                    present: columns.into_iter().map(|column| column.name).collect(),
                });
            }
        }
        campaign.phi_in_clear(columns.iter().map(|column| column.name.as_str()))?;
        let fingerprint = HEXLOWER.encode(&input.opening().0);
        let run = run_id(&campaign.name, &fingerprint);
        Ok(Blueprint { campaign, input, columns, fingerprint, run, watching: false })
    }

    /// Gives the input a run of its own, because another one has the same ends and differs in between.
    pub(super) fn rename(&mut self, whole: &Mark) {
        let first = self.fingerprint.clone();
        self.rename_from(&first, &HEXLOWER.encode(&whole.digest));
    }

    /// Gives the input a run of its own: that of the fingerprint `first`, with a suffix.
    pub(super) fn rename_from(&mut self, first: &str, suffix: &str) {
        self.rename_to(&format!("{first}-{suffix}"));
    }

    /// Gives the input the run of a fingerprint.
    pub(super) fn rename_to(&mut self, fingerprint: &str) {
        fingerprint.clone_into(&mut self.fingerprint);
        self.run = run_id(&self.campaign.name, &self.fingerprint);
    }

    /// The campaign.
    pub fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    /// The run that this campaign makes with this input.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// What tells the input from others: SHA-256 over its length and ends, in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The input's columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows the input has, where it says so itself.
    pub fn rows(&self) -> Option<u64> {
        self.input.rows()
    }

    /// The input's files, for people.
    pub fn input(&self) -> String {
        let files = self.input.files();
        match files {
            [one] => one.display().to_string(),
            [first, others @ ..] => format!("{} and {} more", first.display(), others.len()),
            [] => String::new(),
        }
    }

    /// Leaves in the batches what the gate and the messages need, and nothing else: what is not needed is neither decoded nor
    /// kept. Gives these columns; `None` is all.
    pub(super) fn project(&mut self, used: &ColumnsUsed) -> Option<BTreeSet<String>> {
        let needed = needed(&self.campaign, used)?;
        self.input.project(&|name| needed.contains(name));
        Some(needed)
    }

    /// Whether the input is standard input, which can be read once.
    pub fn is_stream(&self) -> bool {
        self.input.files() == [Path::new("-")]
    }

    /// How far the input was read, and the digest of that.
    pub(super) fn mark(&self) -> Mark {
        self.input.mark()
    }

    /// Compares the input with `mark` while it is read.
    pub(super) fn watch(&mut self, mark: Mark) {
        self.input.watch(mark);
        self.watching = true;
    }

    /// What came of [`watch`](Blueprint::watch); an input that is not watched is what it is.
    pub(super) fn watched(&self) -> Watched {
        if self.watching { self.input.watched() } else { Watched::Same }
    }

    /// Compiles the templates and checks every name in them.
    ///
    /// # Errors
    /// The first mistake in a template.
    pub fn renderer(&self, token: TokenKey) -> Result<Renderer, Error> {
        self.renderer_of(self.run, token)
    }

    /// The same letter for rows of an earlier run, which the store has kept.
    pub(super) fn renderer_of(&self, run: RunId, token: TokenKey) -> Result<Renderer, Error> {
        let plan = self.campaign.message.clone();
        Ok(Renderer::new(plan, &self.columns, &self.campaign.source.public, token, run)?)
    }

    /// The gate of this campaign, which asks `keys` which were taken.
    pub fn gate(&self, keys: Box<dyn Keys + Send>) -> Gate {
        let source = &self.campaign.source;
        Gate::new(Rules { recipient: source.recipient.clone(), key: source.key.clone() }, keys)
    }

    /// The next rows of the input.
    pub fn next_batch(&mut self) -> Option<Result<Batch, Error>> {
        self.input.next().map(|batch| batch.map_err(Error::from))
    }

    /// Row number `ordinal` past the gate, or how it ends there.
    ///
    /// # Errors
    /// The input can't be read, or has fewer rows.
    pub fn find(mut self, ordinal: u64, now: Timestamp) -> Result<Result<Row, Outcome>, Error> {
        let mut gate = self.gate(Box::new(Seen::default()));
        while let Some(batch) = self.next_batch() {
            let batch = batch?;
            for verdict in gate.judge(&batch, 0..batch.len(), now, |_| false)? {
                match verdict {
                    Verdict::Admitted(row) if row.ordinal == ordinal => return Ok(Ok(row)),
                    Verdict::Refused(at, outcome) if at == ordinal => return Ok(Err(outcome)),
                    _ => {}
                }
            }
        }
        Err(Error::NoRow { input: self.input(), row: ordinal })
    }

    /// Counts the rows that would be sent by the domain they go to: all of the input, which is gated and not rendered.
    ///
    /// # Errors
    /// The input.
    pub fn domains(mut self, now: Timestamp) -> Result<BTreeMap<String, u64>, Error> {
        self.project(&ColumnsUsed::Only(BTreeSet::new()));
        let mut gate = self.gate(Box::new(Seen::default()));
        let mut domains = BTreeMap::new();
        while let Some(batch) = self.next_batch() {
            let batch = batch?;
            for verdict in gate.judge(&batch, 0..batch.len(), now, |_| false)? {
                if let Verdict::Admitted(row) = verdict {
                    *domains.entry(row.to.domain().to_owned()).or_default() += 1;
                }
            }
        }
        Ok(domains)
    }

    /// Gates and renders up to `most` rows and sends none.
    ///
    /// # Errors
    /// A template or the input.
    pub fn sample(mut self, token: TokenKey, most: Option<u64>, now: Timestamp) -> Result<Sample, Error> {
        let renderer = self.renderer(token)?;
        let mut gate = self.gate(Box::new(Seen::default()));
        let mut sample = Sample::default();
        while let Some(batch) = self.next_batch() {
            let batch = batch?;
            for verdict in gate.judge(&batch, 0..batch.len(), now, |_| false)? {
                if most == Some(sample.rows) {
                    return Ok(sample);
                }
                sample.rows += 1;
                sample.take(verdict, &renderer, now);
            }
        }
        Ok(sample)
    }
}

/// The columns that the gate and the messages of `campaign` need; `None` is all.
pub(super) fn needed(campaign: &Campaign, used: &ColumnsUsed) -> Option<BTreeSet<String>> {
    let ColumnsUsed::Only(used) = used else { return None };
    let source = &campaign.source;
    Some(used.iter().chain([&source.recipient, &source.key]).cloned().collect())
}

fn run_id(campaign: &str, fingerprint: &str) -> RunId {
    let name = digest(&SHA256, format!("{campaign}\0{fingerprint}").as_bytes());
    RunId(u64::from_be_bytes(name.as_ref()[..8].try_into().expect("SHA-256 has 32 octets")))
}

impl Sample {
    fn take(&mut self, verdict: Verdict, renderer: &Renderer, now: Timestamp) {
        let (row, kind, reason, text) = match verdict {
            Verdict::Admitted(row) => match renderer.render(&row, now) {
                Ok(message) => {
                    self.good += 1;
                    self.largest = self.largest.max(message.len());
                    return;
                }
                Err(fault) => (row.ordinal, Kind::Invalid, fault.reason.to_owned(), fault.detail),
            },
            Verdict::Refused(row, outcome) => (row, outcome.kind, outcome.reason, outcome.text),
            Verdict::Known(_) => return,
        };
        *self.refused.entry((kind, reason)).or_default() += 1;
        if self.first_refused.len() < SHOWN {
            self.first_refused.push(SampleRow { row, outcome: kind, text });
        }
    }
}
