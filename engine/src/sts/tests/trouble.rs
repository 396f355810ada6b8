//! What is our own fault is never the absence of a policy.

use super::*;

#[tokio::test]
async fn a_shelf_that_fails_is_never_no_policy() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.shelf.unwritable.store(true, Ordering::SeqCst);
    assert!(matches!(world.trouble().await, Some(Trouble::Shelf(_))), "it is not believed before it is kept");
    assert_eq!(world.kept(), None);
    world.shelf.unwritable.store(false, Ordering::SeqCst);
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)));
    world.shelf.unreadable.store(true, Ordering::SeqCst);
    let answers =
        [Ok(vec!["v=STSv1; id=1;".to_owned()]), Ok(Vec::new()), Err(NoRoute::Failed), Err(NoRoute::NoSuchDomain)];
    for answer in answers {
        world.answer(answer.clone());
        let trouble = world.trouble().await.expect("trouble");
        assert!(matches!(trouble, Trouble::Shelf(_)), "{answer:?}");
        assert_eq!(trouble.to_string(), "the kept MTA-STS policies");
        assert_eq!(std::error::Error::source(&trouble).expect("a cause").to_string(), "the disk is gone");
    }
}

#[tokio::test]
async fn what_our_own_machine_lacks_is_not_the_policy_hosts_fault() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.locate(Err(NoAddress::Exhausted));
    assert!(matches!(world.trouble().await, Some(Trouble::Exhausted)), "rows wait");
    world.locate(Ok(vec![world.host.address]));
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Fetched)), "at once, when it can");
    world.locate(Err(NoAddress::Exhausted));
    world.announce("2");
    let despite = Source::KeptDespite(Fault::Exhausted);
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", despite)));
}
