//! An operator who gives orders at random, and in the end takes all of them back.

use super::case::Case;
use super::dice::Dice;
use crate::condition::Condition;
use crate::queue::Controls;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Gives the plan's orders.
pub(super) async fn work(case: Rc<Case>) {
    let plan = &case.world.plan;
    let mut dice = Dice::of(plan.seed, "operator", 0);
    for _ in 0..plan.orders {
        sleep(dice.millis(0..8000)).await;
        order(&case, &mut dice);
    }
    if plan.orders > 0 {
        sleep(Duration::from_secs(5)).await;
        case.conditions.clear(Condition::DiskFull);
        case.runs.iter().for_each(|run| run.shared.hold.resume());
        tell(&case, "go on", |controls| {
            controls.all_paused = false;
            controls.paused_providers.clear();
            controls.paused_sources.clear();
        });
    }
}

fn order(case: &Case, dice: &mut Dice) {
    let run = dice.size(0..case.runs.len());
    let site = &case.world.plan.sites[dice.size(0..case.world.plan.sites.len())];
    let provider = site.hosts[0].name.clone();
    let (number, id) = (run, case.runs[run].shared.id);
    match dice.number(0..10) {
        0 => tell(case, "pause or resume all", |controls| controls.all_paused = !controls.all_paused),
        1 | 2 => tell(case, format_args!("pause or resume {provider}"), |controls| {
            if !controls.paused_providers.remove(&provider) {
                controls.paused_providers.insert(provider.clone());
            }
        }),
        3 => tell(case, "pause or resume a source", |controls| {
            if !controls.paused_sources.remove("source0") {
                controls.paused_sources.insert("source0".into());
            }
        }),
        4 if dice.chance(300) => tell(case, format_args!("cancel run {number} at {provider}"), |controls| {
            controls.cancelled_providers.insert((id, provider.clone()));
        }),
        5 if dice.chance(400) => {
            case.runs[run].leave();
            tell(case, format_args!("run {number} leaves"), |_| {});
        }
        6 if case.conditions.holds(Condition::DiskFull) => case.conditions.clear(Condition::DiskFull),
        6 => case.conditions.set(Condition::DiskFull, "simulated", case.clock.now()),
        7 => {
            let most = dice.size(1..20);
            case.world.say("operator", format_args!("room for {most} rows of run {number}"));
            case.runs[run].shared.room.resize(most);
        }
        _ => {
            let hold = &case.runs[run].shared.hold;
            if hold.is_paused() {
                hold.resume()
            } else {
                hold.pause()
            }
            tell(case, format_args!("run {number} paused: {}", hold.is_paused()), |_| {});
        }
    }
}

fn tell(case: &Case, what: impl std::fmt::Display, change: impl FnOnce(&mut Controls)) {
    case.world.say("operator", what);
    let mut new = Controls::clone(&case.controls[0].borrow());
    change(&mut new);
    new.edition += 1;
    let new = Arc::new(new);
    case.controls.iter().for_each(|controls| drop(controls.send_replace(new.clone())));
}
