//! Opens a run in the engine: finds or makes its record, recovers it, starts its feeders.

use super::choice::{Choice, choose, repeated};
use super::dispatch::Dispatch;
use super::engine::Engine;
use super::feed::{Feed, Scope};
use super::feeders::{Feeders, Parts};
use super::record::Record;
use super::recovery::{self, LeftOver};
use super::slot::{OpenRun, Slot, state_of};
use super::{Blueprint, Error, Options, Setup, data_key, earlier, index_key, offline, token_key};
use crate::clock::Recent;
use crate::control::RunView;
use crate::gate::Sent;
use crate::mail::RunId;
use crate::plan::Campaign;
use crate::queue::{Hold, Press, Room, Run};
use crate::render::{Column, Renderer};
use crate::route::Router;
use crate::secret::DataKey;
use crate::settle::{Brake, Rules, Settle, Shares};
use crate::store::{Family, Manifest, Store, Tally};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// What a run is opened with, once it has a record.
pub(super) struct Found {
    pub(super) run: RunId,
    pub(super) manifest: Manifest,
    pub(super) renderer: Renderer,
    /// What is read; `None` where nothing of the input is needed any more.
    pub(super) blueprint: Option<Blueprint>,
}

impl Engine {
    /// Opens the run of a campaign's input, resumes it, or says how it ended before.
    ///
    /// # Errors
    /// Whatever stops it before the first message: input, columns, templates, keys, the store.
    pub fn open(&self, setup: Setup) -> Result<RunView, Error> {
        let _one = self.opening.lock().expect("no holder panics");
        if self.draining.load(Ordering::SeqCst) {
            return Err(Error::Draining(self.gear.state_dir.clone()));
        }
        let mut blueprint = Blueprint::new(setup.campaign.clone())?;
        let choice = choose(&self.store, &mut blueprint)?;
        if let Some(run) = setup.options.abandon {
            earlier::give_up(self, &blueprint, run)?;
        }
        if let Some(view) = self.at_work(blueprint.run(), setup.options)? {
            return Ok(view);
        }
        let manifest = match choice {
            Choice::Finished(_) if setup.options.again && blueprint.is_stream() => {
                // It was read to its end to know it.
                return Err(Error::AnotherStream { run: blueprint.run(), finished: true });
            }
            Choice::Finished(manifest) => match self.repeat(&mut blueprint, &setup)? {
                Some(manifest) => manifest,
                None => return self.finished(blueprint.run(), &manifest),
            },
            // The engine died while it wrote down what was cancelled.
            Choice::Open(manifest) if manifest.cancelled.is_some() => {
                offline::abandon(&self.store, &self.gear.master, blueprint.run(), self.gear.clock.now())?;
                let ended = self.store.manifest(blueprint.run())?.unwrap_or(manifest);
                return self.finished(blueprint.run(), &ended);
            }
            // Only a person's word lets it go on.
            Choice::Open(manifest) if manifest.braked.is_some() => return self.finished(blueprint.run(), &manifest),
            Choice::Open(manifest) => manifest,
            Choice::New => {
                earlier::may_be_overwritten(self, &blueprint)?;
                self.new_manifest(&blueprint, &setup)
            }
        };
        let manifest = Manifest {
            again: manifest.again || setup.options.again,
            campaign_file: Some(setup.campaign.path.clone()),
            bounds: setup.options.bounds(),
            ..manifest
        };
        let renderer = blueprint.renderer(token_key(&self.store, &self.gear.master)?)?;
        let needed = blueprint.project(renderer.uses());
        let run = blueprint.run();
        earlier::take_up(self, &blueprint, &setup, needed.as_ref())?;
        let manifest = keep(&self.store, &setup.campaign, blueprint.columns(), run, manifest, needed)?;
        self.begin(&setup, setup.options, Found { run, manifest, renderer, blueprint: Some(blueprint) })
    }

    /// How a run stands that is open in this engine. Who joins it may bring its end forward.
    fn at_work(&self, run: RunId, options: Options) -> Result<Option<RunView>, Error> {
        let mut runs = self.runs();
        let Some(slot) = runs.get_mut(&run).filter(|slot| !slot.is_over()) else { return Ok(None) };
        let view = slot.view(self.gear.clock.now());
        let Slot::Open(open) = slot else { return Ok(Some(view)) };
        let before = (open.until_empty, open.deadline);
        open.until_empty |= options.until_empty;
        open.deadline = open.deadline.into_iter().chain(options.deadline).min();
        let after = (open.until_empty, open.deadline);
        let record = open.record.clone();
        // The disk is not waited for with the runs in hand.
        drop(runs);
        if after != before {
            record.change(true, |manifest| (manifest.bounds.until_empty, manifest.bounds.deadline) = after)?;
        }
        Ok(Some(view))
    }

    /// A run that is not gone on with: how it stands.
    pub(super) fn finished(&self, run: RunId, manifest: &Manifest) -> Result<RunView, Error> {
        let tally = Tally::of(&self.store, run, manifest, false)?;
        let view = RunView::at_rest(run, manifest, &tally, state_of(manifest));
        self.runs().insert(run, Slot::Over(Box::new(view.clone())));
        Ok(view)
    }

    /// A new run's manifest.
    fn new_manifest(&self, blueprint: &Blueprint, setup: &Setup) -> Manifest {
        let (campaign, fingerprint) = (setup.campaign.name.clone(), blueprint.fingerprint().to_owned());
        let columns = blueprint.columns().iter().map(|column| (column.name.clone(), column.shape.clone()));
        Manifest {
            columns: columns.collect(),
            ..Manifest::new(campaign, blueprint.input(), fingerprint, self.gear.clock.now())
        }
    }

    /// An input that was sent to its end: the run that sends it again and is still open, or with `--again` a new one.
    pub(super) fn repeat(&self, blueprint: &mut Blueprint, setup: &Setup) -> Result<Option<Manifest>, Error> {
        let first = blueprint.fingerprint().to_owned();
        match repeated(&self.store, blueprint)? {
            Some(manifest) => Ok(Some(manifest)),
            None if setup.options.again => Ok(Some(self.new_manifest(blueprint, setup))),
            None => {
                blueprint.rename_to(&first);
                Ok(None)
            }
        }
    }

    /// Recovers a run, starts its feeders and takes it among the open ones.
    pub(super) fn begin(&self, setup: &Setup, options: Options, found: Found) -> Result<RunView, Error> {
        let Found { run, manifest, renderer, blueprint } = found;
        let now = self.gear.clock.now();
        let transport = &setup.campaign.transport;
        let key = Arc::new(data_key(&self.store, &self.gear.master, run)?);
        if manifest.copied {
            recovery::doubt_all(&self.store, run, &key, now)?;
        }
        let beyond = now.after(self.gear.retry.furthest());
        // Put there by a clock that was wrong: they would wait for years.
        self.store.reschedule(run, beyond, |ordinal| self.gear.retry.soon(now, ordinal))?;
        let left_over = recovery::take_up(&self.store, run, &key, transport.on_doubt.resends())?;
        let before = Tally::of(&self.store, run, &manifest, false)?;
        let shared = Arc::new(Run {
            id: run,
            settle: self.accounts(run, key.clone(), setup, &before, &manifest)?,
            press: Press::new(renderer, setup.signer.clone()).requiring_tls(setup.campaign.transport.requiretls),
            exclusive: transport.exclusive,
            weight: setup.campaign.priority,
            sources: setup.sources.iter().cloned().map(Arc::new).collect(),
            tomorrow: AtomicU64::new(0),
            room: Room::new(self.gear.limits.rows_in_memory),
            hold: Hold::default(),
        });
        if manifest.paused {
            shared.hold.pause();
        }
        self.restore_cancellations(run, &manifest);
        let rows = blueprint.as_ref().and_then(Blueprint::rows);
        let in_doubt = left_over.in_doubt;
        let record = Record::new(self.store.clone(), run, manifest);
        let scope = blueprint.map(|blueprint| self.scope(blueprint, run, &record, options.limit)).transpose()?;
        let feeders = self.feeders(setup, &shared, &record, &key, scope, left_over)?;
        let open = OpenRun {
            shared,
            record,
            key,
            feeders,
            before,
            rows,
            in_doubt,
            until_empty: options.until_empty,
            deadline: options.deadline,
            since: Instant::now(),
            leaving: None,
            hurried: None,
            rested: false,
            cancelled: false,
            failed: None,
            recent: Recent::default(),
        };
        let mut slot = Slot::Open(Box::new(open));
        let view = slot.view(now);
        self.runs().insert(run, slot);
        self.metrics.begins();
        self.share_room();
        Ok(view)
    }

    fn accounts(
        &self,
        run: RunId,
        key: Arc<DataKey>,
        setup: &Setup,
        before: &Tally,
        manifest: &Manifest,
    ) -> Result<Settle, Error> {
        let transport = &setup.campaign.transport;
        let rules = Rules {
            retry: self.gear.retry,
            lifetime: transport.lifetime,
            resend_doubt: transport.on_doubt.resends(),
            marks: self.gear.durability.marks,
        };
        let having_seen = |limit| {
            let brake = Brake::new(limit, manifest.confirmed_drops.clone());
            brake.having_seen(&self.store, run, manifest.brake_since, before.read)
        };
        let brake = transport.drop_brake.map(having_seen).transpose()?;
        let (store, clock, metrics) = (self.store.clone(), self.gear.clock.clone(), self.metrics.clone());
        let settle = Settle::new(store, run, key, clock, rules, metrics, before);
        let confirmed = manifest.confirmed_drops.clone();
        let shares = Shares::new(setup.campaign.brakes, manifest.held_providers.clone(), confirmed);
        let shares = shares.having_seen(&self.store, run, manifest.brake_since)?;
        Ok(settle.known_by(&setup.campaign.source.key).under(brake).watched_by(shares))
    }

    fn scope(&self, blueprint: Blueprint, run: RunId, record: &Record, limit: Option<u64>) -> Result<Scope, Error> {
        let manifest = record.manifest();
        let index = index_key(&self.store, &self.gear.master)?;
        let kept = self.gear.sent_kept;
        let keys = Sent::new(self.store.clone(), index, &manifest.campaign, run, kept, manifest.again);
        let gate = blueprint.gate(Box::new(keys));
        let known = recovery::known(&self.store, run, &[Family::Outcome, Family::Deferred, Family::Backlog])?;
        Ok(Scope { blueprint, gate, known, limit })
    }

    fn feeders(
        &self,
        setup: &Setup,
        shared: &Arc<Run>,
        record: &Arc<Record>,
        key: &Arc<DataKey>,
        scope: Option<Scope>,
        left_over: LeftOver,
    ) -> Result<Feeders, Error> {
        let feed = |router, stop| Feed {
            run: shared.clone(),
            store: self.store.clone(),
            key: key.clone(),
            router,
            metrics: self.metrics.clone(),
            record: record.clone(),
            stop,
        };
        let demand = setup.campaign.transport.demand.clone();
        let shards = self.shards.lock().expect("no holder panics").iter().map(|shard| shard.jobs.clone()).collect();
        let router = || {
            Router::new(self.gear.resolver.clone(), demand.clone(), self.gear.relay.clone())
                .asking(self.policies.clone())
                .above(self.gear.tls_domains.clone())
                .shaped(self.gear.shaping.clone())
        };
        let dispatch = |stop| Dispatch {
            run: shared.clone(),
            router: Arc::new(router().telling(self.met.clone())),
            shards,
            metrics: self.metrics.clone(),
            conditions: self.conditions.clone(),
            clock: self.gear.clock.clone(),
            stop,
        };
        Feeders::start(Parts { feed, dispatch, scope, left_over })
    }

    /// What an operator cancelled of a run stays so.
    fn restore_cancellations(&self, run: RunId, manifest: &Manifest) {
        if manifest.cancelled_providers.is_empty() && manifest.cancelled_sources.is_empty() {
            return;
        }
        self.say_who_is_gone(&manifest.cancelled_providers);
        self.order(|controls| {
            controls.cancelled_providers.extend(manifest.cancelled_providers.iter().map(|name| (run, name.clone())));
            controls.cancelled_sources.extend(manifest.cancelled_sources.iter().map(|name| (run, name.clone())));
        });
    }
}

/// Records which columns rows are kept with. Rows that the store has kept before must have what the letter needs now.
pub(super) fn keep(
    store: &Store,
    campaign: &Campaign,
    columns: &[Column],
    run: RunId,
    manifest: Manifest,
    needed: Option<BTreeSet<String>>,
) -> Result<Manifest, Error> {
    let stored = store.count(Family::Deferred, run)? + store.count(Family::Backlog, run)?;
    let mut manifest = manifest;
    match manifest.kept.as_ref().filter(|_| stored > 0) {
        Some(kept) => {
            let all = || columns.iter().map(|column| column.name.clone()).collect();
            let missing = needed.unwrap_or_else(all).into_iter().find(|name| !kept.contains(name));
            if let Some(column) = missing {
                let campaign = campaign.path.clone();
                return Err(Error::ColumnNotKept { campaign, column, rows: stored });
            }
        }
        None => manifest.kept = needed,
    }
    let domain = campaign.message.from.address.domain();
    if manifest.message_domains.iter().all(|known| known != domain) {
        manifest.message_domains.push(domain.to_owned());
    }
    manifest.phi_in_clear |= campaign.phi_in_clear(columns.iter().map(|column| column.name.as_str()))?;
    store.put_manifest(run, &manifest, true)?;
    Ok(manifest)
}
