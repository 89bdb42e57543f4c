//! A paused consumer: what it does not do, what it keeps, how it goes on and how it ends. And what
//! a program is told of the group's lag.

use std::collections::BTreeMap;
use std::time::Duration;

use outflow_local::{Signal, eventually};

use super::library::{GROUP, Log, Running, STREAM, of_key, settings, until_handled};
use super::{LIMIT, Scene, text};

impl Scene {
    /// How long Redis has heard nothing of a consumer, in milliseconds.
    async fn idle(&self, consumer: &str) -> Option<i64> {
        let reply = self.client.call("XINFO", ["CONSUMERS", STREAM, GROUP].into()).await.ok()?;
        let of = |about: &outflow_connect::redis::Reply| {
            (text(&about.items()[1]) == consumer).then(|| about.items()[5].int())
        };
        reply.items().iter().find_map(of)?
    }

    pub(super) async fn until_owners(&self, expected: &[(&str, usize)]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let what = format!("{expected:?} to be pending");
        eventually(LIMIT, &what, async || self.owners().await == expected).await.expect("in time");
    }
}

impl Running {
    async fn pause(&self) {
        self.control.pause();
        let drained = tokio::time::timeout(LIMIT, self.control.drained()).await;
        assert_eq!(drained, Ok(true));
    }
}

#[tokio::test]
async fn a_paused_consumer_finishes_what_it_handles_and_reads_nothing_while_others_go_on() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let one = Running::start(&scene, settings("one").workers(1), "one", &log);
    // One is handled, the others of its key wait behind it.
    for id in ["a1", "a2", "a3"] {
        scene.event(STREAM, "a", id, "Wait").await;
    }
    scene.until_owners(&[("one", 3)]).await;
    let begun = async || scene.first_pending().await.is_some_and(|(_, _, count)| count == 1);
    eventually(LIMIT, "the first attempt", begun).await.expect("in time");
    one.control.pause();
    let mut drained = Box::pin(one.control.drained());
    assert!(futures_util::poll!(&mut drained).is_pending(), "an attempt is running");
    one.gate.add_permits(3);
    assert_eq!(tokio::time::timeout(LIMIT, drained).await, Ok(true));
    // What was handled is acknowledged, and nothing was begun after it.
    assert_eq!(of_key(&log, "a"), ["a1"]);
    scene.until_owners(&[("one", 2)]).await;
    let attempts = scene.first_pending().await.map(|(_, _, attempts)| attempts);
    assert_eq!((attempts, one.count("retried_total")), (Some(0), 0));
    assert!(one.control.is_paused() && one.health.causes().is_empty());
    assert_eq!(one.gauge("paused").to_string(), "1");

    // The others get what is new, except for the key that is held.
    let two = Running::start(&scene, settings("two"), "two", &log);
    for number in 1..=50 {
        let key = format!("b{number}");
        scene.event(STREAM, &key, &key, "Plain").await;
    }
    scene.event(STREAM, "a", "a4", "Plain").await;
    until_handled(&log, 51).await;
    scene.until_owners(&[("one", 3)]).await;
    assert!(log.lock()[1..].iter().all(|line| line[0] == "two"));

    one.control.resume();
    until_handled(&log, 54).await;
    assert_eq!(of_key(&log, "a"), ["a1", "a2", "a3", "a4"]);
    assert!(log.lock().iter().all(|line| (line[2] == "a") == (line[0] == "one")));
    assert!(!one.control.is_paused() && !one.control.drained().await);
    scene.until_none_pending().await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn what_a_paused_consumer_has_is_not_taken_over_and_it_takes_nothing_over() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let brief = |name: &str| settings(name).claim_idle(Duration::from_secs(4));
    let one = Running::start(&scene, brief("one").workers(1), "one", &log);
    scene.event(STREAM, "a", "a1", "Wait").await;
    scene.event(STREAM, "a", "a2", "Plain").await;
    scene.until_owners(&[("one", 2)]).await;
    let begun = async || scene.first_pending().await.is_some_and(|(_, _, count)| count == 1);
    eventually(LIMIT, "the first attempt", begun).await.expect("in time");
    one.control.pause();
    one.gate.add_permits(1);
    assert!(one.control.drained().await);
    // Others look for the entries of those who are gone. They find these, and not ours.
    let gone = scene.event(STREAM, "c", "c1", "Plain").await;
    scene.call("XREADGROUP", &["GROUP", GROUP, "gone", "STREAMS", STREAM, ">"]).await;
    let idle = ["IDLE", "3600000", "JUSTID"];
    scene.call("XCLAIM", &[&[STREAM, GROUP, "gone", "0", &gone], &idle[..]].concat()).await;
    let mut last = 0;
    let another_heartbeat = async || {
        let idle = scene.first_pending().await.map_or(last, |(_, idle, _)| idle);
        idle < std::mem::replace(&mut last, idle)
    };
    eventually(LIMIT, "a heartbeat", another_heartbeat).await.expect("in time");
    scene.until_owners(&[("gone", 1), ("one", 1)]).await;
    let two = Running::start(&scene, brief("two"), "two", &log);
    until_handled(&log, 2).await;
    scene.until_owners(&[("one", 1)]).await;
    assert_eq!(log.lock()[1][..2], ["two".to_owned(), STREAM.to_owned()]);
    assert_eq!((one.count("reclaimed_total"), two.count("reclaimed_total")), (0, 1));
    one.control.resume();
    until_handled(&log, 3).await;
    assert_eq!(of_key(&log, "a"), ["a1", "a2"]);
    assert_eq!(two.count("reclaimed_total"), 1);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_stop_ends_a_paused_consumer_and_gives_back_what_it_has() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let patient = settings("one").claim_idle(Duration::from_hours(1)).workers(1);
    let one = Running::start(&scene, patient, "one", &log);
    for id in ["a1", "a2", "a3"] {
        scene.event(STREAM, "a", id, "Wait").await;
    }
    scene.until_owners(&[("one", 3)]).await;
    let begun = async || scene.first_pending().await.is_some_and(|(_, _, count)| count == 1);
    eventually(LIMIT, "the first attempt", begun).await.expect("in time");
    one.control.pause();
    one.gate.add_permits(1);
    assert!(one.control.drained().await);
    let control = one.control.clone();
    one.stop().await;
    assert!(control.is_paused() && control.drained().await, "nothing goes on after its end");
    // It takes over what was given back, whenever it looks.
    let brief = settings("two").claim_idle(Duration::from_secs(2));
    let two = Running::start(&scene, brief, "two", &log);
    two.gate.add_permits(2);
    until_handled(&log, 3).await;
    assert_eq!(of_key(&log, "a"), ["a1", "a2", "a3"]);
    scene.until_none_pending().await;
    two.stop().await;
}

#[tokio::test]
async fn a_consumer_that_starts_paused_keeps_its_name_and_what_it_had_and_reads_nothing() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    // Its own from before.
    scene.event(STREAM, "a", "a1", "Plain").await;
    scene.call("XREADGROUP", &["GROUP", GROUP, "one", "STREAMS", STREAM, ">"]).await;
    let brief = |name: &str| settings(name).claim_idle(Duration::from_secs(4));
    let one = Running::start_if(&scene, brief("one"), "one", &log, true);
    let healthy = async || one.health.causes().is_empty() && one.control.lag() == Some(0);
    eventually(LIMIT, "it to be healthy, and the lag", healthy).await.expect("in time");
    let token = text(&scene.call("HGET", &["events.order.inventory.state", "consumer:one"]).await);
    assert!(!token.is_empty(), "the name is taken");
    scene.event(STREAM, "b", "b1", "Plain").await;
    let known = async || one.control.lag() == Some(1);
    eventually(LIMIT, "the lag", known).await.expect("in time");
    scene.until_owners(&[("one", 1)]).await;
    assert_eq!(log.lock().len(), 0);
    let two = Running::start(&scene, brief("two"), "two", &log);
    until_handled(&log, 1).await;
    assert_eq!(of_key(&log, "b"), ["b1"]);
    two.stop().await;
    one.control.resume();
    until_handled(&log, 2).await;
    // Nothing is pending, and it is no stranger for that.
    one.pause().await;
    let mut last = 0;
    let heard = async || {
        let idle = scene.idle("one").await.expect("it is a member");
        idle < std::mem::replace(&mut last, idle)
    };
    eventually(LIMIT, "a sign of life", heard).await.expect("in time");
    one.stop().await;
}

#[tokio::test]
async fn the_lag_is_right_after_deletions_or_unknown_and_never_zero_for_it() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let mut ids = Vec::new();
    for number in 0..20 {
        let key = format!("a{number:02}");
        ids.push(scene.event(STREAM, &key, &key, "Plain").await);
    }
    let one = Running::start_if(&scene, settings("one"), "one", &log, true);
    assert_eq!((one.control.lag(), one.control.group("none")), (None, None), "not asked yet");
    let until_lag = async |expected: Option<u64>| {
        let known = async || {
            one.control.group(STREAM).is_some_and(|group| group.lag == expected)
                && one.control.lag() == expected
                && (one.gauge("lag_known") > 0.5) == expected.is_some()
        };
        eventually(LIMIT, &format!("a lag of {expected:?}"), known).await.expect("in time");
        let shown = one.gauge("lag_entries");
        assert_eq!(shown.to_string(), expected.map_or("NaN".to_owned(), |lag| lag.to_string()));
    };
    until_lag(Some(20)).await;
    // At the front, and everywhere: nothing of this was read, so what is there is the lag.
    scene.call("XDEL", &[&[STREAM], &[&ids[0][..], &ids[1], &ids[7], &ids[19]][..]].concat()).await;
    until_lag(Some(16)).await;
    // The first is read, one behind it is gone: Redis does not know how many follow.
    scene
        .call("XREADGROUP", &["GROUP", GROUP, "other", "COUNT", "1", "STREAMS", STREAM, ">"])
        .await;
    until_lag(None).await;
    // Once the group is past it, it does. That the very last one was deleted changes nothing.
    one.control.resume();
    until_handled(&log, 15).await;
    until_lag(Some(0)).await;
    one.control.pause();
    assert!(one.control.drained().await);
    for number in 20..23 {
        let key = format!("a{number:02}");
        scene.event(STREAM, &key, &key, "Plain").await;
    }
    until_lag(Some(3)).await;
    scene.call("XTRIM", &[STREAM, "MAXLEN", "1"]).await;
    until_lag(Some(1)).await;
    one.stop().await;
}

/// What was known counts for a while, and not for ever.
#[tokio::test]
async fn a_lag_that_redis_does_not_tell_is_unknown() {
    let (mut scene, log) = (Scene::with_group().await, Log::default());
    let one = Running::start(&scene, settings("one"), "one", &log);
    let known = async || one.control.lag() == Some(0) && one.gauge("lag_known") > 0.5;
    eventually(LIMIT, "the lag", known).await.expect("in time");
    scene.redis.stop().await.expect("a stop");
    let unknown = async || one.control.lag().is_none() && one.gauge("lag_entries").is_nan();
    eventually(LIMIT, "the lag to be unknown", unknown).await.expect("in time");
    one.stop().await;
}

#[tokio::test]
async fn signals_pause_and_resume_order_consumer_and_limits_are_its_options() {
    let scene = Scene::new().await;
    let limits = ["--rate-limit", "1000/s", "--rate-burst", "50", "--type-limit", "OrderCreated=2"];
    let mut consumer = scene.ready("one", &limits).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    consumer.program.signal(Signal::SIGUSR1);
    consumer.until_metric("paused", 1.0).await;
    scene.until_none_pending().await;
    scene.reserve("a", 10).await;
    consumer.until_metric("lag_entries", 1.0).await;
    assert_eq!((scene.reserved("a").await, scene.pending().await), (Some(1), 0));
    consumer.until_ready().await;
    consumer.program.signal(Signal::SIGUSR2);
    scene.until_reserved("a", 11).await;
    assert_eq!(consumer.metric("paused").await, Some(0.0));
    consumer.program.signal(Signal::SIGUSR1);
    consumer.until_metric("paused", 1.0).await;
    consumer.stop().await;
}
