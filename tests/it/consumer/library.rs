//! The library in this process: order per key, over one consumer and over several; retries, panics,
//! stops, limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use outflow_consumer::{
    Consumer, Control, Ended, Entry, Handled, Handler, HandlerError, Health, Metrics, Settings,
    SettingsBuilder,
};
use outflow_local::eventually;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{LIMIT, Scene, about, text};

pub(super) const GROUP: &str = "inventory";
pub(super) const STREAM: &str = "events.order";

/// What a handler did: consumer, stream, key, event id.
pub(super) type Log = Arc<Mutex<Vec<[String; 4]>>>;

/// Notes what it handles; the event's type says what happens before.
pub(super) struct Recorder {
    name: &'static str,
    log: Log,
    gate: Arc<Semaphore>,
}

impl Handler for Recorder {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        match entry.event_type.as_str() {
            "Wait" => self.gate.acquire().await.expect("never closed").forget(),
            "FailTwice" if entry.attempts <= 2 => {
                return Err(HandlerError::retry("not yet"));
            }
            "Panic" if entry.attempts == 1 => panic!("as it was told"),
            "Busy" if self.gate.try_acquire().is_err() => {
                return Err(HandlerError::conflict("busy"));
            }
            "Never" => return Err(HandlerError::permanent("never")),
            _ => {}
        }
        let line = [
            self.name.to_owned(),
            entry.stream.clone(),
            entry.key.clone(),
            entry.event_id.to_string(),
        ];
        self.log.lock().push(line);
        Ok(Handled::Done)
    }
}

/// A running consumer.
pub(super) struct Running {
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<Ended>,
    pub(super) gate: Arc<Semaphore>,
    pub(super) control: Control,
    pub(super) health: Health,
    registry: prometheus::Registry,
}

impl Running {
    pub(super) fn start(
        scene: &Scene,
        settings: SettingsBuilder,
        name: &'static str,
        log: &Log,
    ) -> Self {
        Self::start_if(scene, settings, name, log, false)
    }

    /// As [`Running::start`], paused from the start on.
    pub(super) fn start_if(
        scene: &Scene,
        settings: SettingsBuilder,
        name: &'static str,
        log: &Log,
        is_paused: bool,
    ) -> Self {
        let settings = settings.build().expect("settings");
        let (registry, gate) = (prometheus::Registry::new(), Arc::new(Semaphore::new(0)));
        let metrics = Metrics::new(&registry, &settings).expect("our own registry");
        let handler = Recorder { name, log: Arc::clone(log), gate: Arc::clone(&gate) };
        let consumer = Consumer::open(scene.redis.url(), settings, handler).expect("an address");
        let consumer = consumer.observer(metrics);
        let (control, health) = (consumer.control(), consumer.health());
        if is_paused {
            control.pause();
        }
        let stop = CancellationToken::new();
        let task = tokio::spawn(consumer.run(stop.clone()));
        Self { stop, task, gate, control, health, registry }
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(LIMIT, self.task).await.expect("its end");
        assert_eq!(ended.expect("no panic"), Ended::Stopped);
    }

    /// The value of a gauge that has one label.
    pub(super) fn gauge(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == format!("outflow_consumer_{name}"));
        family.expect(name).get_metric()[0].get_gauge().get_value()
    }

    /// The sum of a counter over its labels.
    pub(super) fn count(&self, name: &str) -> usize {
        let families = self.registry.gather();
        let family =
            families.iter().find(|family| family.name() == format!("outflow_consumer_{name}"));
        family
            .expect(name)
            .get_metric()
            .iter()
            .map(|metric| metric.get_counter().get_value().to_string())
            .map(|value| value.parse::<usize>().expect("a whole number"))
            .sum()
    }
}

pub(super) fn settings(name: &str) -> SettingsBuilder {
    Settings::builder(STREAM, GROUP, name).retry_delay(Duration::from_millis(20))
}

impl Scene {
    pub(super) async fn with_group() -> Self {
        let scene = Self::new().await;
        scene.call("XGROUP", &["CREATE", STREAM, GROUP, "0", "MKSTREAM"]).await;
        scene
    }

    pub(super) async fn event(&self, stream: &str, key: &str, id: &str, kind: &str) -> String {
        text(
            &self
                .call("XADD", &[stream, "*", "id", id, "type", kind, "key", key, "payload", "{}"])
                .await,
        )
    }

    /// Whom each pending entry is with.
    pub(super) async fn owners(&self) -> BTreeMap<String, usize> {
        let reply = self.call("XPENDING", &[STREAM, GROUP, "-", "+", "1000"]).await;
        let mut owners = BTreeMap::new();
        for row in reply.items() {
            *owners.entry(text(&row.items()[1])).or_default() += 1;
        }
        owners
    }
}

pub(super) async fn until_handled(log: &Log, count: usize) {
    let what = format!("{count} entries to be handled");
    let enough = async || log.lock().len() >= count;
    let waited = eventually(LIMIT, &what, enough).await;
    waited.unwrap_or_else(|error| panic!("{error}: {:?}", log.lock()));
    assert_eq!(log.lock().len(), count, "{log:?}");
}

/// The event ids of a key in the order in which they were handled.
pub(super) fn of_key(log: &Log, key: &str) -> Vec<String> {
    log.lock().iter().filter(|line| line[2] == key).map(|line| line[3].clone()).collect()
}

#[tokio::test]
async fn a_key_under_retry_waits_in_order_while_the_others_go_on() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let settings = settings("one").workers(2).stream("events.payment");
    let one = Running::start(&scene, settings, "one", &log);
    for (stream, key, id, kind) in [
        (STREAM, "a", "a1", "Wait"),
        (STREAM, "a", "a2", "FailTwice"),
        (STREAM, "a", "a3", "Panic"),
        (STREAM, "b", "b1", "Busy"),
        (STREAM, "b", "b2", "Plain"),
        (STREAM, "c", "c1", "Plain"),
        (STREAM, "c", "c2", "Never"),
        (STREAM, "c", "c3", "Plain"),
        // The same key on another stream is another key.
        ("events.payment", "a", "p1", "Plain"),
    ] {
        scene.event(stream, key, id, kind).await;
    }
    until_handled(&log, 3).await;
    assert_eq!(
        (of_key(&log, "a"), of_key(&log, "c")),
        (vec!["p1".to_owned()], vec!["c1".to_owned(), "c3".to_owned()])
    );
    let dead = async || scene.dead().await.len() == 1;
    eventually(LIMIT, "the dead letter", dead).await.expect("in time");
    assert_eq!(about(&scene.dead().await[0], "dead_error"), "never");
    // One permit lets b1 through (again and again: its attempts do not count), one a1; either may
    // come first.
    one.gate.add_permits(2);
    until_handled(&log, 8).await;
    let a: Vec<String> = of_key(&log, "a").into_iter().filter(|id| id != "p1").collect();
    assert_eq!(
        (a, of_key(&log, "b")),
        (["a1", "a2", "a3"].map(str::to_owned).to_vec(), ["b1", "b2"].map(str::to_owned).to_vec())
    );
    scene.until_none_pending().await;
    assert_eq!(
        scene.call("HLEN", &["events.order.inventory.keys"]).await.int(),
        Some(0),
        "every key is free again"
    );
    assert!(one.count("retried_total") >= 3 && one.count("handled_total") == 8);
    one.stop().await;
}

#[tokio::test]
async fn a_key_sticks_to_the_consumer_that_works_on_it() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let one = Running::start(&scene, settings("one"), "one", &log);
    scene.event(STREAM, "a", "a1", "Wait").await;
    let read = async || scene.owners().await.contains_key("one");
    eventually(LIMIT, "the first to be read", read).await.expect("in time");
    let two = Running::start(&scene, settings("two"), "two", &log);
    // Whoever reads them, they wait for the first one; what has other keys does not.
    for number in 2..=40 {
        scene.event(STREAM, "a", &format!("a{number:02}"), "Plain").await;
        scene.event(STREAM, &format!("b{number}"), &format!("b{number}"), "Plain").await;
    }
    until_handled(&log, 39).await;
    assert_eq!(of_key(&log, "a"), Vec::<String>::new());
    let all_with_one = async || scene.owners().await == BTreeMap::from([("one".to_owned(), 40)]);
    eventually(LIMIT, "all of the key to be with the first", all_with_one).await.expect("in time");
    one.gate.add_permits(1);
    until_handled(&log, 79).await;
    let expected: Vec<String> = std::iter::once("a1".to_owned())
        .chain((2..=40).map(|number| format!("a{number:02}")))
        .collect();
    assert_eq!(of_key(&log, "a"), expected);
    assert!(log.lock().iter().all(|line| line[2] != "a" || line[0] == "one"));
    one.stop().await;
    two.stop().await;
}

/// What is deleted from the stream is dropped from the pending list, and with it the last word on
/// who has its key.
#[tokio::test]
async fn a_key_sticks_to_its_consumer_though_its_last_entries_are_deleted() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let one =
        Running::start(&scene, settings("one").claim_idle(Duration::from_secs(1)), "one", &log);
    scene.event(STREAM, "a", "a1", "Wait").await;
    let mut deleted = Vec::new();
    for id in ["a2", "a3"] {
        deleted.push(scene.event(STREAM, "a", id, "Plain").await);
    }
    // Another key, of which nothing else is pending.
    deleted.push(scene.event(STREAM, "b", "b1", "Wait").await);
    let all_with_one =
        async |count: usize| scene.owners().await == BTreeMap::from([("one".to_owned(), count)]);
    eventually(LIMIT, "all to be read", async || all_with_one(4).await).await.expect("in time");
    for id in &deleted {
        scene.call("XDEL", &[STREAM, id]).await;
    }
    // Its next sign of life.
    eventually(LIMIT, "the deleted ones to be dropped", async || all_with_one(1).await)
        .await
        .expect("in time");
    eventually(LIMIT, "them to be counted", async || one.count("lost_total") == 3)
        .await
        .expect("in time");
    one.task.abort();
    // Takes what it is given, and says nothing of its own.
    let rival = settings("two").claim_idle(Duration::from_hours(1));
    let two = Running::start(&scene, rival, "two", &log);
    for number in 4..=9 {
        scene.event(STREAM, "a", &format!("a{number}"), "Plain").await;
        scene.event(STREAM, "b", &format!("b{number}"), "Plain").await;
    }
    until_handled(&log, 6).await;
    eventually(LIMIT, "all of the key to be with the first", async || all_with_one(7).await)
        .await
        .expect("in time");
    assert_eq!(of_key(&log, "a"), Vec::<String>::new());
    let again = Running::start(&scene, settings("one"), "one", &log);
    again.gate.add_permits(1);
    until_handled(&log, 13).await;
    assert_eq!(of_key(&log, "a"), ["a1", "a4", "a5", "a6", "a7", "a8", "a9"]);
    scene.until_none_pending().await;
    again.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_stop_gives_back_at_once_and_the_order_is_kept() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let one =
        Running::start(&scene, settings("one").claim_idle(Duration::from_hours(1)), "one", &log);
    for id in ["a1", "a2", "a3"] {
        scene.event(STREAM, "a", id, "Wait").await;
    }
    let read = async || scene.pending().await == 3;
    eventually(LIMIT, "all to be read", read).await.expect("in time");
    let counted =
        async || scene.first_pending().await.is_some_and(|(_, _, attempts)| attempts == 1);
    eventually(LIMIT, "the first attempt", counted).await.expect("in time");
    let two =
        Running::start(&scene, settings("two").claim_idle(Duration::from_secs(20)), "two", &log);
    one.stop.cancel();
    one.gate.add_permits(1);
    two.gate.add_permits(2);
    one.stop().await;
    until_handled(&log, 3).await;
    assert_eq!(of_key(&log, "a"), ["a1", "a2", "a3"]);
    let by: Vec<String> = log.lock().iter().map(|line| line[0].clone()).collect();
    assert_eq!(by, ["one", "two", "two"]);
    assert_eq!(two.count("retried_total"), 0, "what was not begun counts no attempt");
    two.stop().await;
}

#[tokio::test]
async fn a_group_that_is_full_reads_nothing_new() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    let limits = settings("one").pending_max(4).batch(2);
    let one = Running::start(&scene, limits, "one", &log);
    scene.event(STREAM, "a", "a1", "Wait").await;
    for number in 2..=20 {
        scene.event(STREAM, "a", &format!("a{number:02}"), "Plain").await;
    }
    let full = async || scene.pending().await >= 4;
    eventually(LIMIT, "the group to be full", full).await.expect("in time");
    scene.event(STREAM, "b", "b1", "Plain").await;
    one.gate.add_permits(1);
    until_handled(&log, 21).await;
    assert_eq!(of_key(&log, "a").len(), 20);
    scene.until_none_pending().await;
    one.stop().await;
}

#[tokio::test]
async fn who_is_gone_for_long_with_nothing_pending_is_forgotten() {
    let (scene, log) = (Scene::with_group().await, Log::default());
    scene.event(STREAM, "a", "a1", "Plain").await;
    scene.call("XGROUP", &["CREATECONSUMER", STREAM, GROUP, "idle"]).await;
    scene.call("XREADGROUP", &["GROUP", GROUP, "busy", "STREAMS", STREAM, ">"]).await;
    let names = async || {
        let reply = scene.call("XINFO", &["CONSUMERS", STREAM, GROUP]).await;
        reply.items().iter().map(|about| text(&about.items()[1])).collect::<Vec<_>>()
    };
    assert_eq!(names().await.len(), 2);
    let forgetful = settings("one").forget_idle(Duration::from_millis(1));
    let one = Running::start(&scene, forgetful, "one", &log);
    eventually(LIMIT, "the idle one to be forgotten", async || {
        !names().await.contains(&"idle".to_owned())
    })
    .await
    .expect("in time");
    assert!(names().await.contains(&"busy".to_owned()), "its entry would be lost");
    one.stop().await;
}
