//! Servers and handlers that hang: it shows, it is put down to whom it belongs to, and a stop ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use outflow_consumer::{
    BoxError, Consumer, Ended, Entry, Handled, Handler, HandlerError, Metrics, Settings,
};
use outflow_local::{Signal, eventually};
use tokio_util::sync::CancellationToken;

use super::{LIMIT, STREAM, Scene, about};

/// Postgres, frozen: the postmaster and the sessions of the consumers. Thawed when dropped.
pub(super) struct Frozen(Vec<Pid>);

impl Frozen {
    pub(super) async fn postgres(scene: &Scene) -> Self {
        let sql = "select pid from pg_stat_activity where application_name = 'order-consumer'";
        let rows = scene.db.query(sql, &[]).await.expect("the sessions");
        let mut pids: Vec<Pid> = rows.iter().map(|row| Pid::from_raw(row.get(0))).collect();
        let own: i32 =
            scene.db.query_one("select pg_backend_pid()", &[]).await.expect("our session").get(0);
        let stat = std::fs::read_to_string(format!("/proc/{own}/stat")).expect("our backend");
        let parent =
            stat.rsplit_once(") ").expect("a name").1.split(' ').nth(1).expect("its parent");
        pids.push(Pid::from_raw(parent.parse().expect("a number")));
        // A session may have ended meanwhile.
        pids.retain(|pid| kill(*pid, Signal::SIGSTOP).is_ok());
        Self(pids)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}

#[tokio::test]
async fn a_frozen_postgres_shows_and_a_stop_ends() {
    let scene = Scene::new().await;
    let mut consumer = scene.ready("one", &["--stop-grace", "1s"]).await;
    scene.reserve("a", 1).await;
    scene.until_reserved("a", 1).await;
    let frozen = Frozen::postgres(&scene).await;
    // Without any entry: nobody but the probe could notice.
    consumer.until_unready("handler").await;
    scene.reserve("a", 10).await;
    let counted =
        async || scene.first_pending().await.is_some_and(|(_, _, attempts)| attempts == 1);
    eventually(LIMIT, "the attempt that hangs", counted).await.expect("in time");
    consumer.program.terminate();
    let status = consumer.program.wait(LIMIT).await.expect("its end");
    assert!(status.success(), "{status}: {}", consumer.program.log_tail());
    let (owner, _, attempts) = scene.first_pending().await.expect("the entry");
    assert_eq!(
        (owner.as_str(), attempts),
        ("one", 0),
        "an attempt that was broken off does not count"
    );
    drop(frozen);
    let consumer = scene.start("two", &[]);
    scene.until_reserved("a", 11).await;
    consumer.until_ready().await;
    consumer.stop().await;
}

#[tokio::test]
async fn a_frozen_redis_shows_and_a_stop_ends() {
    let mut scene = Scene::new().await;
    let mut consumer = scene.ready("one", &["--stop-grace", "1s"]).await;
    scene.redis.signal(Signal::SIGSTOP);
    consumer.until_unready("Redis").await;
    scene.redis.signal(Signal::SIGCONT);
    consumer.until_ready().await;
    scene.redis.signal(Signal::SIGSTOP);
    consumer.until_unready("Redis").await;
    consumer.program.terminate();
    let ended = consumer.program.wait(LIMIT).await;
    scene.redis.signal(Signal::SIGCONT);
    let status = ended.expect("its end");
    assert!(status.success(), "{status}: {}", consumer.program.log_tail());
}

/// Never ends where it is told to; what it needs may not answer.
struct Hanging {
    is_away: Arc<AtomicBool>,
}

impl Handler for Hanging {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        if entry.event_type == "Hang" || self.is_away.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(Handled::Done)
    }

    async fn probe(&self) -> Result<(), BoxError> {
        if self.is_away.load(Ordering::SeqCst) { Err("away".into()) } else { Ok(()) }
    }
}

/// What hangs for ever ends in the dead letters, after as many attempts alone as there may be,
/// while what it needs answers; what hangs because that is away costs nobody an attempt. And a stop
/// ends.
#[tokio::test]
async fn a_handler_that_never_returns_is_told_from_an_outage() {
    let scene = Scene::new().await;
    let is_away = Arc::new(AtomicBool::new(true));
    let settings = Settings::builder(STREAM, "inventory", "one")
        .attempts_max(2)
        .attempt_timeout(Duration::from_millis(200))
        .retry_delay(Duration::from_millis(10))
        .stop_grace(Duration::from_millis(100))
        .handle_batch(4)
        .build()
        .expect("settings");
    let registry = prometheus::Registry::new();
    let metrics = Metrics::new(&registry, &settings).expect("our own registry");
    let handler = Hanging { is_away: Arc::clone(&is_away) };
    let consumer =
        Consumer::open(scene.redis.url(), settings, handler).expect("an address").observer(metrics);
    let (health, stop) = (consumer.health(), CancellationToken::new());
    let running = tokio::spawn(consumer.run(stop.clone()));
    for number in 0..30 {
        let kind = if number % 10 == 3 { "Hang" } else { "Plain" };
        scene
            .add(&[
                "id",
                &number.to_string(),
                "type",
                kind,
                "key",
                &number.to_string(),
                "payload",
                "",
            ])
            .await;
    }
    let failed = |reason: &str| {
        let families = registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "outflow_consumer_failed_total")
            .expect("it");
        let of = family
            .get_metric()
            .iter()
            .find(|metric| metric.get_label().iter().any(|label| label.value() == reason));
        of.expect(reason).get_counter().get_value()
    };
    eventually(LIMIT, "attempts in the outage", async || failed("unavailable") >= 5.0)
        .await
        .expect("in time");
    assert!(health.causes().iter().any(|cause| cause.contains("away")), "{:?}", health.causes());
    assert_eq!(scene.dead().await.len(), 0);
    is_away.store(false, Ordering::SeqCst);
    eventually(LIMIT, "the dead letters", async || scene.dead().await.len() == 3)
        .await
        .expect("in time");
    scene.until_none_pending().await;
    for letter in scene.dead().await {
        assert_eq!(
            (about(&letter, "type"), about(&letter, "dead_attempts")),
            ("Hang".to_owned(), "2".to_owned())
        );
        assert!(about(&letter, "dead_error").contains("no outcome"), "{letter:?}");
    }
    scene.add(&["id", "last", "type", "Hang", "key", "last", "payload", ""]).await;
    eventually(LIMIT, "the last", async || scene.pending().await == 1).await.expect("in time");
    stop.cancel();
    let ended = tokio::time::timeout(LIMIT, running).await.expect("its end");
    assert_eq!(ended.expect("no panic"), Ended::Stopped);
}
