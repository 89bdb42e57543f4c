//! Limits of a type and rates: they hold under load, and hold up nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outflow_consumer::{
    Consumer, Ended, Entry, Handled, Handler, HandlerError, Rate, SettingsBuilder,
};
use outflow_local::eventually;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::library::{Log, Running, STREAM, of_key, settings, until_handled};
use super::{LIMIT, Scene};

/// How many of each type are being handled, the most there ever were, and who is done.
#[derive(Default)]
struct Count {
    running: BTreeMap<String, usize>,
    most: BTreeMap<String, usize>,
    done: Vec<(String, String)>,
}

/// Counts. What is slow waits for a permit.
#[derive(Clone)]
struct Counter {
    count: Arc<Mutex<Count>>,
    gate: Arc<Semaphore>,
}

impl Counter {
    fn done(&self, kind: &str) -> usize {
        self.count.lock().done.iter().filter(|(_, done)| done == kind).count()
    }

    fn running(&self, kind: &str) -> usize {
        self.count.lock().running.get(kind).copied().unwrap_or_default()
    }
}

impl Handler for Counter {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        let kind = &entry.event_type;
        {
            let Count { running, most, .. } = &mut *self.count.lock();
            let now = running.entry(kind.clone()).or_default();
            *now += 1;
            let most = most.entry(kind.clone()).or_default();
            *most = (*most).max(*now);
        }
        if kind.starts_with("Slow") {
            self.gate.acquire().await.expect("never closed").forget();
        }
        let outcome = if kind == "SlowAgain" && entry.attempts == 1 {
            Err(HandlerError::retry("not yet"))
        } else {
            Ok(Handled::Done)
        };
        let mut count = self.count.lock();
        if let Some(running) = count.running.get_mut(kind) {
            *running -= 1;
        }
        if outcome.is_ok() {
            count.done.push((entry.key.clone(), kind.clone()));
        }
        outcome
    }
}

/// Two limited types come in front of everything else.
/// `slow`: how many of them are handled at a time, at least.
async fn limits_hold(settings: SettingsBuilder, payload: usize, slow: usize) {
    let scene = Scene::with_group().await;
    let payload = "x".repeat(payload);
    let mut number = 0;
    let mut event = async |key: String, kind: &str| {
        number += 1;
        let id = number.to_string();
        let fields = [STREAM, "*", "id", &id, "type", kind, "key", &key, "payload", &payload];
        scene.call("XADD", &fields).await;
    };
    for number in 0..60 {
        event(format!("s{number}"), "Slow").await;
        event(format!("a{number}"), "SlowAgain").await;
    }
    for number in 0..60 {
        event(format!("p{number}"), "Plain").await;
    }
    for number in 0..60 {
        // Behind one of its key.
        event(format!("s{number}"), "Behind").await;
        event(String::new(), "Plain").await;
    }
    let counter = Counter { count: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let settings = settings.type_limit("Slow", 2).type_limit("SlowAgain", 3);
    let settings = settings.build().expect("settings");
    let consumer = Consumer::open(scene.redis.url(), settings, counter.clone());
    let stop = CancellationToken::new();
    let running = tokio::spawn(consumer.expect("an address").run(stop.clone()));

    let others = async || counter.done("Plain") == 120;
    eventually(LIMIT, "all of the others to be handled", others).await.expect("in time");
    let full = async || counter.running("Slow") + counter.running("SlowAgain") >= slow;
    eventually(LIMIT, "the limits to be used up", full).await.expect("in time");
    assert_eq!((counter.done("Slow"), counter.done("Behind")), (0, 0), "the order of each key");
    counter.gate.add_permits(60 + 2 * 60);
    let all = async || counter.count.lock().done.len() == 300;
    eventually(LIMIT, "all to be handled", all).await.expect("in time");
    {
        let Count { most, done, .. } = &*counter.count.lock();
        assert!(most["Slow"] <= 2 && most["SlowAgain"] <= 3, "{most:?}");
        for number in 0..60 {
            let of = |(key, kind): &(String, String)| {
                (*key == format!("s{number}")).then(|| kind.clone())
            };
            assert_eq!(done.iter().filter_map(of).collect::<Vec<_>>(), ["Slow", "Behind"]);
        }
    }
    stop.cancel();
    assert_eq!(running.await.expect("no panic"), Ended::Stopped);
    assert_eq!(scene.pending().await, 0);
    assert_eq!(scene.call("HLEN", &["events.order.inventory.keys"]).await.int(), Some(0));
}

#[tokio::test]
async fn a_limited_type_keeps_to_its_limit_and_holds_up_no_other() {
    // Far less in memory than there is of the limited types.
    limits_hold(settings("one").workers(8).prefetch(8).batch(4), 2, 5).await;
}

#[tokio::test]
async fn a_limit_counts_the_entries_of_a_shared_call() {
    limits_hold(settings("one").workers(6).handle_batch(16).prefetch(32), 2, 5).await;
}

#[tokio::test]
async fn a_limit_knows_the_type_of_entries_that_are_fetched_later() {
    // Each read brings one that does not fit. Five can be fetched at a time: two of the limited
    // types, and the others find memory, too.
    limits_hold(settings("one").workers(8).prefetch_bytes(420 << 10), 20_000, 2).await;
}

#[tokio::test]
async fn a_rate_leaves_to_other_consumers_what_it_does_not_allow() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let slow = Rate::new(1, Duration::from_hours(10)).burst(3);
    let one = settings("one").rate_limit(slow).prefetch(5).batch(1);
    let one = Running::start(&scene, one, "one", &log);
    for number in 0..20 {
        let key = format!("a{number:02}");
        scene.event(STREAM, &key, &key, "Plain").await;
    }
    until_handled(&log, 3).await;
    let full = async || scene.owners().await.get("one") == Some(&5);
    eventually(LIMIT, "its memory to be full", full).await.expect("in time");
    let two = settings("two").claim_idle(Duration::from_secs(2));
    let two = Running::start(&scene, two, "two", &log);
    until_handled(&log, 15).await;
    // What was handled is acknowledged a moment later.
    let rest = eventually(LIMIT, "five entries to be left", async || scene.pending().await == 5);
    rest.await.expect("in time");
    // A stop does not wait for the rate.
    one.stop().await;
    until_handled(&log, 20).await;
    let by_one = log.lock().iter().filter(|line| line[0] == "one").count();
    assert_eq!(by_one, 3);
    scene.until_none_pending().await;
    two.stop().await;
}

#[tokio::test]
async fn the_rate_of_a_type_is_its_own() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let slow = Rate::new(1, Duration::from_hours(10)).burst(2);
    let one = settings("one").type_rate_limit("Seldom", slow).prefetch(4).batch(2);
    let one = Running::start(&scene, one, "one", &log);
    for number in 0..20 {
        scene.event(STREAM, "a", &format!("a{number:02}"), "Seldom").await;
        let key = format!("b{number:02}");
        scene.event(STREAM, &key, &format!("x{key}"), "Seldom").await;
    }
    for number in 0..20 {
        let key = format!("c{number:02}");
        scene.event(STREAM, &key, &key, "Plain").await;
    }
    until_handled(&log, 22).await;
    let seldom = log.lock().iter().filter(|line| !line[2].starts_with('c')).count();
    assert_eq!(seldom, 2);
    assert!(of_key(&log, "a").first().is_none_or(|id| id == "a00"));
    scene.until_owners(&[("one", 38)]).await;
    one.stop().await;
}
