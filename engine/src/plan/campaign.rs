//! A campaign file, checked and resolved; its templates are read here and compiled by `render`.

use super::Error;
use super::campaign_file::{BrakeWord, CampaignFile, CanaryWord, InputTable, OnDoubtWord, Paths, TransportTable};
use crate::mail::{Demand, Level};
use crate::render::MessagePlan;
use crate::settle::Limits;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

pub use super::campaign_file::OnDoubtWord as OnDoubt;

/// A blast.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its name, which all its runs share.
    pub name: String,
    /// Its turns at a site that other campaigns send to as well, for each turn of one of priority 1.
    pub priority: u32,
    /// Where its rows come from.
    pub source: Source,
    /// What recipients get.
    pub message: MessagePlan,
    /// How it travels.
    pub transport: Transport,
    /// The shares of bad answers above which it stops.
    pub brakes: Limits,
}

/// The recipient file and the meaning of its columns.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file.
    pub spec: loader::Spec,
    /// The column with the address.
    pub recipient: String,
    /// The column that makes a row unique.
    pub key: String,
    /// Columns that are not PHI.
    pub public: Vec<String>,
}

/// How messages travel.
#[derive(Clone, Debug)]
pub struct Transport {
    /// The floor of TLS.
    pub demand: Demand,
    /// Drop at once what can't have it.
    pub exclusive: bool,
    /// The share of dropped rows above which the run stops; `None` for none.
    pub drop_brake: Option<f64>,
    /// The line that lets messages leave in clear, where nobody has said that PHI may.
    pub clear_at: Option<usize>,
    /// How long a row is tried.
    pub lifetime: Duration,
    /// Ask servers to keep the message on proven TLS (RFC 8689).
    pub requiretls: bool,
    /// What becomes of rows in doubt.
    pub on_doubt: OnDoubt,
    /// The sources that send it, by name; empty is all.
    pub sources: Vec<String>,
}

impl Campaign {
    /// Reads and checks the file at `path` and the templates it names.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn read(path: &Path) -> Result<Campaign, Error> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            Error::new(path, format!("can't be read: {cause}")).hint("name a campaign file, for example eob.toml")
        })?;
        Campaign::parse(path, &text)
    }

    /// Checks `text` as the content of the file at `path`.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn parse(path: &Path, text: &str) -> Result<Campaign, Error> {
        let file: CampaignFile = toml::from_str(text).map_err(|cause| Error::toml(path, text, &cause))?;
        let reader = Reader { path, folder: path.parent().unwrap_or(Path::new(".")), text };
        let name = file.campaign.name.get_ref().trim().to_owned();
        if name.is_empty() || name.len() > 100 || name.contains(|c: char| c.is_control() || c == '/') {
            return Err(reader.fail(&file.campaign.name, "name must be 1 to 100 characters without `/`"));
        }
        match file.campaign.class.get_ref().as_str() {
            "transactional" => {}
            "marketing" => {
                return Err(reader
                    .fail(&file.campaign.class, "class = \"marketing\" is not supported yet")
                    .hint("its gate (consent and one-click unsubscribe) does not exist yet; nothing was sent"));
            }
            _ => return Err(reader.fail(&file.campaign.class, "class is \"transactional\" or \"marketing\"")),
        }
        let priority = *file.campaign.priority.get_ref();
        if !(1..=100).contains(&priority) {
            return Err(reader.fail(&file.campaign.priority, "priority must be 1 to 100"));
        }
        Ok(Campaign {
            path: path.to_owned(),
            name,
            priority,
            source: reader.source(&file.input)?,
            message: reader.message(&file.message)?,
            transport: reader.transport(&file.transport)?,
            brakes: Limits {
                unknown: reader.brake("[brakes] unknown", &file.brakes.unknown)?,
                blocked: reader.brake("[brakes] blocked", &file.brakes.blocked)?,
                canary: reader.canary(&file.brakes.canary)?,
            },
        })
    }

    /// Whether PHI may leave in clear: TLS is not demanded, and some of the input's `columns` are not public.
    ///
    /// # Errors
    /// It might, and nobody has said that it may.
    pub fn phi_in_clear<'a>(&self, mut columns: impl Iterator<Item = &'a str>) -> Result<bool, Error> {
        let phi = columns.find(|column| self.source.public.iter().all(|public| public != column));
        let Some(column) = phi.filter(|_| self.transport.demand.level() == Level::Opportunistic) else {
            return Ok(false);
        };
        let Some(line) = self.transport.clear_at else { return Ok(true) };
        let what =
            format!("tls = \"opportunistic\" may send PHI in clear: column \"{column}\" is not in [input] public");
        let hint = "set tls = \"verified\"; or, if it must be, [transport] phi_in_clear = true, which the run records";
        Err(Error::new(&self.path, what).line(line).hint(hint))
    }
}

/// Makes a plan of a file, table by table.
pub(super) struct Reader<'a> {
    pub(super) path: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) text: &'a str,
}

impl Reader<'_> {
    pub(super) fn fail<T>(&self, place: &Spanned<T>, what: impl Into<String>) -> Error {
        Error::new(self.path, what).at(self.text, place.span().start)
    }

    fn source(&self, input: &InputTable) -> Result<Source, Error> {
        let paths = match input.path.get_ref() {
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths.as_slice(),
        };
        if paths.is_empty() {
            return Err(self.fail(&input.path, "path names no file"));
        }
        if paths.len() > 1 && paths.iter().any(|path| path == "-") {
            return Err(self.fail(&input.path, "standard input (\"-\") can't be read together with files"));
        }
        let delimiter = input.delimiter.as_ref().map(|text| match text.get_ref().as_bytes() {
            [octet] if octet.is_ascii() && !matches!(octet, b'"' | b'\r' | b'\n') => Ok(*octet),
            _ => Err(self.fail(text, "delimiter must be one ASCII character, for example \";\" or \"\\t\"")),
        });
        Ok(Source {
            spec: loader::Spec {
                paths: paths.iter().map(|path| self.place(path)).collect(),
                format: input.format,
                delimiter: delimiter.transpose()?,
                encoding: input.encoding,
                columns: input.columns.clone(),
            },
            recipient: input.recipient.get_ref().clone(),
            key: input.key.get_ref().clone(),
            public: input.public.iter().map(|name| name.get_ref().clone()).collect(),
        })
    }

    /// An input path from the campaign's folder, whose own name is no pattern.
    fn place(&self, path: &str) -> PathBuf {
        let plain = self.folder.join(path);
        if path == "-" {
            return PathBuf::from(path);
        }
        if plain.exists() || !path.contains(['*', '?', '[']) {
            return plain;
        }
        Path::new(&glob::Pattern::escape(&self.folder.to_string_lossy())).join(path)
    }

    fn brake(&self, name: &str, share: &Spanned<BrakeWord>) -> Result<Option<f64>, Error> {
        match share.get_ref() {
            BrakeWord::Share(share) if (0.0..1.0).contains(share) => Ok(Some(*share)),
            BrakeWord::Word(word) if word == "off" => Ok(None),
            _ => Err(self
                .fail(share, format!("{name} must be a share from 0 up to 1, or \"off\""))
                .hint("0.1 stops the run when more than a tenth of its last rows came to that")),
        }
    }

    fn canary(&self, rows: &Spanned<CanaryWord>) -> Result<Option<u32>, Error> {
        match rows.get_ref() {
            CanaryWord::Rows(rows @ 1..=1000) => Ok(u32::try_from(*rows).ok()),
            CanaryWord::Word(word) if word == "off" => Ok(None),
            _ => Err(self
                .fail(rows, "[brakes] canary must be from 1 to 1000 rows, or \"off\"")
                .hint("100 sends a provider's first hundred rows, and its others once these were answered well")),
        }
    }

    fn transport(&self, table: &TransportTable) -> Result<Transport, Error> {
        // `exclusive` is on by default and says nothing where TLS is not demanded; written out, it is a contradiction.
        if *table.tls.get_ref() == Level::Opportunistic
            && *table.exclusive.get_ref()
            && !table.exclusive.span().is_empty()
        {
            return Err(self
                .fail(&table.exclusive, "exclusive = true is not possible with tls = \"opportunistic\"")
                .hint("set tls = \"verified\", or exclusive = false"));
        }
        let clear = *table.tls.get_ref() == Level::Opportunistic;
        if *table.phi_in_clear.get_ref() && !clear {
            // Left behind, it would one day allow what nobody meant.
            return Err(self
                .fail(&table.phi_in_clear, "phi_in_clear = true says nothing unless tls = \"opportunistic\"")
                .hint("remove it"));
        }
        if table.lifetime.get_ref().0.is_zero() {
            return Err(self.fail(&table.lifetime, "lifetime must be longer than nothing"));
        }
        Ok(Transport {
            demand: Demand::new(*table.tls.get_ref()),
            exclusive: *table.exclusive.get_ref() && !clear,
            drop_brake: self.brake("drop_brake", &table.drop_brake)?,
            clear_at: (clear && !*table.phi_in_clear.get_ref()).then(|| self.line(&table.tls)),
            lifetime: table.lifetime.get_ref().0,
            requiretls: table.requiretls,
            on_doubt: table.on_doubt,
            sources: table.sources.iter().map(|name| name.get_ref().clone()).collect(),
        })
    }
}

impl OnDoubtWord {
    /// Whether rows in doubt are sent again.
    pub fn resends(self) -> bool {
        self == OnDoubtWord::Resend
    }
}
