//! A campaign held against its input: columns there, templates compiled, names right. What `check`, `preview`, `--dry-run`
//! and `send` have in common.

use super::Error;
use crate::clock::Timestamp;
use crate::gate::{Gate, Rules, Verdict};
use crate::mail::{Kind, Outcome, Row, RunId};
use crate::plan::Campaign;
use crate::render::{Column, Renderer};
use crate::secret::TokenKey;
use aws_lc_rs::digest::{Context, SHA256, digest};
use data_encoding::HEXLOWER;
use loader::Batch;
use std::collections::BTreeMap;

/// A campaign whose input was opened and whose columns are there.
pub struct Blueprint {
    campaign: Campaign,
    reader: loader::Reader,
    columns: Vec<Column>,
    fingerprint: String,
    run: RunId,
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

struct Sha256(Context);

impl loader::Digest for Sha256 {
    fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }
}

impl Blueprint {
    /// Opens the input of `campaign` and checks every column that the campaign names.
    ///
    /// # Errors
    /// The input can't be read, or a column is missing.
    pub fn new(campaign: Campaign) -> Result<Blueprint, Error> {
        let source = &campaign.source;
        let reader = loader::open(&source.spec)?;
        let columns: Vec<_> =
            reader.columns().iter().map(|(name, shape)| Column { name: name.clone(), shape: shape.clone() }).collect();
        let named = [("[input] recipient", &source.recipient), ("[input] key", &source.key)];
        let public = source.public.iter().map(|name| ("[input] public", name));
        for (role, name) in named.into_iter().chain(public) {
            if !columns.iter().any(|column| column.name == *name) {
                return Err(Error::NoColumn {
                    campaign: campaign.path.clone(),
                    role,
                    column: name.clone(),
                    input: source.spec.path.clone(),
                    present: columns.into_iter().map(|column| column.name).collect(),
                });
            }
        }
        let mut sha = Sha256(Context::new(&SHA256));
        loader::fingerprint(&source.spec.path, &mut sha)?;
        let fingerprint = HEXLOWER.encode(sha.0.finish().as_ref());
        let name = digest(&SHA256, format!("{}\0{fingerprint}", campaign.name).as_bytes());
        let run = RunId(u64::from_be_bytes(name.as_ref()[..8].try_into().expect("SHA-256 has 32 octets")));
        Ok(Blueprint { campaign, reader, columns, fingerprint, run })
    }

    /// The campaign.
    pub fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    /// The run that this campaign makes with this input.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// SHA-256 of the input in hexadecimal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The input's columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many rows the input has, where it says so itself.
    pub fn rows(&self) -> Option<u64> {
        self.reader.rows()
    }

    /// Compiles the templates and checks every name in them.
    ///
    /// # Errors
    /// The first mistake in a template.
    pub fn renderer(&self, token: TokenKey) -> Result<Renderer, Error> {
        let plan = self.campaign.message.clone();
        Ok(Renderer::new(plan, &self.columns, &self.campaign.source.public, token, self.run)?)
    }

    /// The gate of this campaign.
    pub fn gate(&self) -> Gate {
        let source = &self.campaign.source;
        Gate::new(Rules { recipient: source.recipient.clone(), key: source.key.clone() })
    }

    /// The next rows of the input.
    pub fn next_batch(&mut self) -> Option<Result<Batch, Error>> {
        self.reader.next().map(|batch| batch.map_err(Error::from))
    }

    /// Row number `ordinal` past the gate, or how it ends there.
    ///
    /// # Errors
    /// The input can't be read, or has fewer rows.
    pub fn find(mut self, ordinal: u64, now: Timestamp) -> Result<Result<Row, Outcome>, Error> {
        let mut gate = self.gate();
        while let Some(batch) = self.next_batch() {
            for verdict in gate.judge(&batch?, now) {
                match verdict {
                    Verdict::Admitted(row) if row.ordinal == ordinal => return Ok(Ok(row)),
                    Verdict::Refused(at, outcome) if at == ordinal => return Ok(Err(outcome)),
                    _ => {}
                }
            }
        }
        Err(Error::NoRow { input: self.campaign.source.spec.path.clone(), row: ordinal })
    }

    /// Gates and renders up to `most` rows and sends none.
    ///
    /// # Errors
    /// A template or the input.
    pub fn sample(mut self, token: TokenKey, most: Option<u64>, now: Timestamp) -> Result<Sample, Error> {
        let renderer = self.renderer(token)?;
        let mut gate = self.gate();
        let mut sample = Sample::default();
        while let Some(batch) = self.next_batch() {
            for verdict in gate.judge(&batch?, now) {
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
        };
        *self.refused.entry((kind, reason)).or_default() += 1;
        if self.first_refused.len() < SHOWN {
            self.first_refused.push(SampleRow { row, outcome: kind, text });
        }
    }
}
