//! Many who ask at the same time.

use super::*;
use tokio::task::JoinSet;

/// Fifty ask at once, the first of them leaves in the middle.
async fn fifty_ask(act: Act, held: Act) -> (Vec<Standing>, usize) {
    let world = World::of(held).await;
    let sts = world.sts.clone();
    let first = tokio::spawn(async move { sts.policy_of(DOMAIN, Freshness::AsKept).await });
    while world.host.asked() == 0 {
        tokio::task::yield_now().await;
    }
    let mut askers = JoinSet::new();
    for _ in 0..50 {
        let sts = world.sts.clone();
        askers.spawn(async move { sts.policy_of(DOMAIN, Freshness::AsKept).await.expect("no trouble") });
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.host.connected.load(Ordering::SeqCst), 1, "the others wait");
    world.host.say(act);
    first.abort();
    (askers.join_all().await, world.host.asked())
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_fetch() {
    let (standings, asked) = fifty_ask(Act::Say(ok(ENFORCE)), Act::Hold(ok(ENFORCE))).await;
    assert_eq!(asked, 2, "the one that was given up, and one for all");
    let fetched = |standing: &&Standing| brief(standing) == Some((Mode::Enforce, "1", Source::Fetched));
    let kept = |standing: &&Standing| brief(standing) == Some((Mode::Enforce, "1", Source::Kept));
    assert_eq!((standings.iter().filter(fetched).count(), standings.iter().filter(kept).count()), (1, 49));
}

#[tokio::test]
async fn who_asks_at_the_same_time_shares_one_failure() {
    let (standings, asked) = fifty_ask(Act::Say(response("500 Oh", "", "")), Act::Hold(Vec::new())).await;
    assert_eq!(asked, 2);
    assert!(standings.iter().all(|standing| *standing == unknown(Fault::Status(500))));
}

#[tokio::test]
async fn so_many_are_fetched_at_once_and_no_more() {
    let names = (0..AT_ONCE + 8).map(|number| format!("d{number}.{DOMAIN}")).collect::<Vec<_>>();
    let hosts = names.iter().map(|name| format!("mta-sts.{name}")).collect();
    let world = World::with(Identity::Of(hosts), Act::Hold(ok(ENFORCE))).await;
    let mut askers = JoinSet::new();
    for name in names {
        let sts = world.sts.clone();
        askers.spawn(async move { sts.policy_of(&name, Freshness::AsKept).await.expect("no trouble") });
    }
    while world.host.asked() < AT_ONCE {
        tokio::task::yield_now().await;
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    world.host.release.add_permits(AT_ONCE + 8);
    let standings = askers.join_all().await;
    assert!(standings.iter().all(|standing| brief(standing) == Some((Mode::Enforce, "1", Source::Fetched))));
    assert_eq!(world.host.most_held.load(Ordering::SeqCst), AT_ONCE);
}

/// Its old policy has run out. Who hears that it announces none any more does not throw away what another is about to keep.
#[tokio::test]
async fn who_forgets_waits_for_who_fetches() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.pass(7 * DAY);
    world.announce("2");
    world.host.say(Act::Hold(ok(TESTING)));
    let ask = |sts: Arc<Sts>| async move { sts.policy_of(DOMAIN, Freshness::AsKept).await.expect("no trouble") };
    let first = tokio::spawn(ask(world.sts.clone()));
    while world.host.asked() < 2 {
        tokio::task::yield_now().await;
    }
    world.answer(Ok(Vec::new()));
    let second = tokio::spawn(ask(world.sts.clone()));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.host.release.add_permits(1);
    assert_eq!(brief(&first.await.expect("it ends")), Some((Mode::Testing, "2", Source::Fetched)));
    assert_eq!(brief(&second.await.expect("it ends")), Some((Mode::Testing, "2", Source::Kept)));
}
