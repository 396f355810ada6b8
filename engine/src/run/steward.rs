//! Watches the open runs: ends what is done, what has reached its deadline, what is cancelled or failed.

use super::engine::Engine;
use super::slot::Slot;
use std::sync::atomic::Ordering;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(20);
/// How often the machine is looked at: a disk that fills is noticed before the next hundred messages are begun.
const LOOK: u32 = 5;

/// Watches until the engine has ended.
pub(super) fn work(engine: &Engine) {
    let mut tick = 0_u32;
    while !engine.has_ended() {
        tick = tick.wrapping_add(1);
        if tick.is_multiple_of(LOOK) {
            look_after_machine(engine);
        }
        look_after_runs(engine);
        std::thread::sleep(TICK);
    }
}

fn look_after_machine(engine: &Engine) {
    engine.store.watch_room();
    engine.conditions.heed_clock(&*engine.gear.clock);
}

fn look_after_runs(engine: &Engine) {
    let now = engine.gear.clock.now();
    let broken = engine.is_broken();
    let draining = engine.draining.load(Ordering::SeqCst);
    let (mut left, mut ended) = (false, false);
    // An end takes syncs, and a cancelled run a write for each of its rows: commands must not wait for that.
    let (mut over, mut held, mut holding) = (Vec::new(), Vec::new(), 0);
    for (run, slot) in engine.runs().iter_mut() {
        let Slot::Open(open) = slot else { continue };
        open.note(now);
        holding += open.shared.settle.held().len();
        held.extend(open.newly_held());
        if broken {
            open.fail("a part of the engine failed");
        }
        if !open.is_leaving() && open.wants_to_leave(now, draining) {
            open.leave();
            left = true;
        }
        left |= open.hurry(now, engine.is_stopping());
        if open.has_left(engine.is_stopping()) {
            over.push(*run);
        }
    }
    engine.metrics.held_providers.set(i64::try_from(holding).unwrap_or(i64::MAX));
    left |= !held.is_empty();
    for (record, providers) in held {
        if let Err(error) = record.change(true, |manifest| manifest.held_providers = providers) {
            tracing::error!(%error, "can't write down what a brake holds");
        }
    }
    if left {
        engine.order(|_| {});
    }
    if !over.is_empty() && engine.runs().values().filter(|slot| !slot.is_over()).count() == over.len() {
        engine.metrics.rests();
    }
    for run in over {
        let Some(open) = engine.runs().get_mut(&run).and_then(|slot| slot.take(now)) else { continue };
        let view = open.end(engine, now);
        engine.runs().insert(run, Slot::Over(Box::new(view)));
        ended = true;
    }
    if ended {
        engine.share_room();
    }
}
