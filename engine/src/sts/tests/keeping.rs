//! How long a policy holds, and when it is fetched again.

use super::*;

#[tokio::test]
async fn a_policy_is_fetched_kept_and_not_fetched_again() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    let standing = world.ask().await;
    assert_eq!(brief(&standing), Some((Mode::Enforce, "1", Source::Fetched)));
    assert!(standing.is_current());
    let asked = world.host.last.lock().expect("not poisoned").to_ascii_lowercase();
    assert!(asked.starts_with("mta-sts.b.example\r\nget /.well-known/mta-sts.txt http/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nhost: mta-sts.b.example\r\n"), "{asked}");
    let kept = world.kept().expect("kept");
    assert_eq!((kept.fetched(), kept.until()), (T0, T0.after(Duration::from_secs(7 * DAY))));
    assert!(kept.policy().permits("mx.b.example"));
    world.pass(3 * DAY);
    let world = world.restarted();
    assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", Source::Kept)));
    assert_eq!(world.host.asked(), 1);
}

#[tokio::test]
async fn no_record_is_no_policy_and_nobody_is_asked() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    let two = vec!["v=STSv1; id=1;".to_owned(), "v=STSv1; id=2;".to_owned()];
    let answers = [
        Ok(Vec::new()),
        Ok(vec!["v=spf1 -all".to_owned()]),
        Ok(two),
        Err(NoRoute::NoSuchDomain),
        Err(NoRoute::NoMailHost),
    ];
    for answer in answers {
        world.answer(answer.clone());
        assert_eq!(world.ask().await, Standing::NoPolicy, "{answer:?}");
    }
    assert_eq!(world.host.connected.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn another_id_is_another_policy() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.announce("2");
    world.host.say(Act::Say(ok(TESTING)));
    assert_eq!(brief(&world.ask().await), Some((Mode::Testing, "2", Source::Fetched)));
    world.announce("3");
    world.host.say(Act::Say(ok(NONE)));
    assert_eq!(brief(&world.ask().await), Some((Mode::None, "3", Source::Fetched)), "taken back");
    assert_eq!(brief(&world.ask().await), Some((Mode::None, "3", Source::Kept)));
    assert_eq!((world.host.asked(), world.kept().map(|kept| kept.policy().mode())), (3, Some(Mode::None)));
}

#[tokio::test]
async fn a_kept_policy_holds_while_the_policy_host_is_down() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.announce("2");
    let down = Fault::Status(503);
    world.host.say(Act::Say(response("503 Later", "", "")));
    let despite = Some((Mode::Enforce, "1", Source::KeptDespite(down)));
    let standing = world.ask().await;
    assert_eq!((brief(&standing), standing.is_current(), standing.fault()), (despite, false, Some(down)));
    world.pass(FIVE_MINUTES - 1);
    assert_eq!((brief(&world.ask_again().await), world.host.asked()), (despite, 2), "not within five minutes");
    world.pass(1);
    assert_eq!((brief(&world.ask().await), world.host.asked()), (despite, 3));
    world.announce("3");
    assert_eq!((brief(&world.ask().await), world.host.asked()), (despite, 4), "of another id nobody knows yet");
    assert_eq!(world.kept().expect("kept").last_tried(), world.clock.now());
    world.pass(7 * DAY);
    let lapsed = world.kept().map(|kept| Kept { last_tried: world.clock.now(), ..kept });
    assert_eq!(world.ask().await, Standing::Unknown { why: down, lapsed: lapsed.map(Arc::new) }, "it has run out");
    world.pass(FIVE_MINUTES);
    world.host.say(Act::Say(ok(TESTING)));
    assert_eq!(brief(&world.ask().await), Some((Mode::Testing, "3", Source::Fetched)), "and here it is again");
}

#[tokio::test]
async fn a_kept_policy_holds_while_its_record_is_gone_or_unknown() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    let answers = [
        (Ok(Vec::new()), Source::Kept),
        (Err(NoRoute::NoSuchDomain), Source::Kept),
        (Err(NoRoute::Failed), Source::KeptDespite(Fault::Record)),
        (Err(NoRoute::TimedOut), Source::KeptDespite(Fault::Record)),
        (Err(NoRoute::Exhausted), Source::KeptDespite(Fault::Exhausted)),
    ];
    for (answer, source) in answers.clone() {
        world.answer(answer);
        assert_eq!(brief(&world.ask().await), Some((Mode::Enforce, "1", source)));
        assert_eq!(brief(&world.ask_again().await), Some((Mode::Enforce, "1", source)));
    }
    world.pass(7 * DAY);
    let lapsed = world.kept().map(Arc::new);
    world.answer(Err(NoRoute::TimedOut));
    assert_eq!(world.ask().await, Standing::Unknown { why: Fault::Record, lapsed });
    world.answer(Err(NoRoute::Exhausted));
    assert!(matches!(world.trouble().await, Some(Trouble::Exhausted)));
    world.answer(Ok(Vec::new()));
    assert_eq!((world.ask().await, world.kept()), (Standing::NoPolicy, None), "it is over");
    assert_eq!(world.host.asked(), 1);
}

#[tokio::test]
async fn a_policy_is_fetched_again_where_that_is_asked_for() {
    let world = World::of(Act::Say(ok(ENFORCE))).await;
    world.ask().await;
    world.host.say(Act::Say(ok(TESTING)));
    world.pass(FIVE_MINUTES - 1);
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Enforce, "1", Source::Kept)), "it is fresh");
    world.pass(1);
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Testing, "1", Source::Fetched)), "under the same id");
    assert_eq!(world.kept().expect("kept").fetched(), world.clock.now());
    assert_eq!(world.host.asked(), 2);
    world.pass(FIVE_MINUTES);
    world.host.say(Act::Say(Vec::new()));
    let despite = Source::KeptDespite(Fault::Broken);
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Testing, "1", despite)));
    let world = world.restarted();
    assert_eq!(brief(&world.ask_again().await), Some((Mode::Testing, "1", despite)), "not taken for a success");
}

#[tokio::test]
async fn a_policy_of_no_time_spares_its_host_all_the_same() {
    let world = World::of(Act::Say(ok(&ENFORCE.replace("604800", "0")))).await;
    world.ask().await;
    world.pass(FIVE_MINUTES - 1);
    assert_eq!((brief(&world.ask().await).is_some(), world.host.asked()), (true, 1));
    world.pass(1);
    assert_eq!((brief(&world.ask().await).is_some(), world.host.asked()), (true, 2));
}
