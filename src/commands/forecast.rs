//! What `sealpost check` foresees of TLS.

use super::standing;
use crate::failure::Failure;
use crate::output::outln;
use crate::probing::{Probed, probe};
use crate::progress::hours;
use engine::clock::{Clock, SystemClock};
use engine::mail::rows as counted;
use engine::plan::{Campaign, Machine};
use engine::probe::{Forecast, Share};
use engine::report::{rfc3339, rounded};
use engine::run::Blueprint;
use engine::settle::FEW_DROPS;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is foreseen, and by what.
pub struct Foreseen {
    forecast: Forecast,
    exclusive: bool,
    /// The share of drops that stops a run.
    brake: Option<f64>,
    /// Whether every domain was asked just now.
    whole: bool,
}

impl Foreseen {
    /// Of the file of `campaign`, by a probe of its domains or by what earlier ones have found; `None` where that is nothing,
    /// or where the input can be read only once.
    pub fn of(machine: &Machine, campaign: Campaign, by_probe: bool) -> Result<Option<Foreseen>, Failure> {
        let known = if by_probe { BTreeMap::new() } else { standing::findings(&machine.state_dir)? };
        if known.is_empty() && !by_probe {
            return Ok(None);
        }
        let (floor, exclusive) = (campaign.transport.demand.level(), campaign.transport.exclusive);
        let brake = campaign.transport.drop_brake;
        let blueprint = Blueprint::new(campaign)?;
        if blueprint.is_stream() {
            return Ok(None);
        }
        let rows = blueprint.domains(SystemClock.now())?;
        let Probed { findings, all } = if by_probe {
            probe(machine, floor, rows.keys().cloned().collect())?
        } else {
            Probed { findings: known, all: true }
        };
        Ok(Some(Foreseen { forecast: Forecast::of(&rows, floor, &findings), exclusive, brake, whole: all }))
    }

    /// Whether it was brought to its end.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let Forecast { rows, able, unable, waiting, bouncing, unknown, oldest } = &self.forecast;
        let shares = |shares: &BTreeMap<String, Share>| {
            let share = |(reason, share): (&String, &Share)| {
                let worst = share.worst.iter().map(|(domain, rows)| json!({"domain": domain, "rows": rows}));
                json!({"reason": reason, "rows": share.rows, "worst": worst.collect::<Vec<_>>()})
            };
            shares.iter().map(share).collect::<Vec<_>>()
        };
        json!({
            "rows": rows, "able": able, "unable": shares(unable), "waiting": shares(waiting),
            "bouncing": shares(bouncing), "unknown": unknown, "exclusive": self.exclusive,
            "dropped": self.dropped(), "dropped_percent": rounded(self.percent(self.dropped())),
            "would_brake": self.would_brake().is_some(), "oldest": oldest.map(rfc3339),
        })
    }

    /// For people.
    pub fn print(&self) {
        let Forecast { rows, able, unable, waiting, bouncing, unknown, oldest } = &self.forecast;
        let age = oldest.map_or_else(String::new, |oldest| {
            let span = SystemClock.now().since(oldest).as_secs_f64();
            format!("; the oldest finding is of {} ago", hours(span))
        });
        outln!("forecast   {}: {able} would go out{age}", counted(*rows));
        let fate = if self.exclusive { "would be dropped" } else { "would be deferred until they expire" };
        for (shares, fate) in [(unable, fate), (waiting, "would wait"), (bouncing, "would bounce")] {
            for (reason, share) in shares {
                let worst: Vec<_> = share.worst.iter().map(|(domain, rows)| format!("{domain} ({rows})")).collect();
                let percent = self.percent(share.rows);
                outln!("  {} ({percent:.2} %) {fate}: {reason}: {}", share.rows, worst.join(", "));
            }
        }
        if let Some(limit) = self.would_brake() {
            outln!(
                "  more would be dropped than drop_brake allows ({:.0} %): the run would stop and wait for `sealpost resume`",
                limit * 100.0
            );
        }
        if *unknown > 0 {
            let percent = self.percent(*unknown);
            outln!("  {unknown} ({percent:.2} %) of domains that were not probed (`check --probe` asks them)");
        }
    }

    /// The limit of the brake, if the file as a whole is above it. A run looks at its last thousand rows, and may stop for a part
    /// of the file that is worse than the rest.
    fn would_brake(&self) -> Option<f64> {
        let dropped = self.dropped();
        self.brake.filter(|limit| dropped > FEW_DROPS && self.percent(dropped) > limit * 100.0)
    }

    fn dropped(&self) -> u64 {
        if self.exclusive { self.forecast.dropped() } else { 0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "shown, not counted")]
    fn percent(&self, part: u64) -> f64 {
        if self.forecast.rows == 0 { 0.0 } else { part as f64 * 100.0 / self.forecast.rows as f64 }
    }
}
