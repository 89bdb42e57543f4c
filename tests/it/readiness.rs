//! Ready means that it can deliver, also without an event that would show it: an idle relay and a
//! standby notice that Redis is gone, frozen, full, emptied or closed to them, and that it is back.

use outflow_local::{Program, Signal, eventually};

use crate::support::{LIMIT, Numbered, Stage, outbox};

/// What is done to Redis, what `/readyz` says of it, and what undoes it.
type Harm = (&'static [&'static str], &'static str, &'static [&'static str]);

const ALL_RIGHTS: &[&str] =
    &["ACL", "SETUSER", "relay", "reset", "on", ">hunter2", "~*", "&*", "+@all"];

/// The relay is another user than the one that the test works as.
async fn stage(more: &str) -> Stage {
    let stage = Stage::new(&outbox(more)).await;
    run(&stage, ALL_RIGHTS).await;
    stage.configure_with(
        &stage.redis.url().replace("redis://", "redis://relay:hunter2@"),
        &outbox(more),
    );
    stage
}

async fn run(stage: &Stage, words: &'static [&'static str]) {
    stage.command(words[0], &words[1..]).await;
}

/// Health, metrics and readiness tell the same.
async fn is_down(stage: &Stage, words: &str) {
    stage.not_ready(words).await;
    assert!(stage.metrics().await.contains("outflow_up{outbox=\"orders\"} 0"));
    let (code, log) = stage.finished("health", &["healthcheck", "--ready"]).await;
    assert_eq!(code, Some(1), "{log}");
}

async fn is_back(stage: &Stage) {
    stage.ready(200).await;
    assert!(stage.metrics().await.contains("outflow_up{outbox=\"orders\"} 1"));
}

/// No event at all, and none that is found by polling.
#[tokio::test]
async fn an_idle_relay_notices_that_redis_is_away_or_frozen() {
    let mut stage = stage("poll_interval = \"1h\"").await;
    let relay = stage.relay();
    stage.ready(200).await;
    stage.redis.kill().await.expect("its end");
    is_down(&stage, "no connection to Redis").await;
    stage.redis.start_again().await.expect("a start");
    run(&stage, ALL_RIGHTS).await;
    is_back(&stage).await;
    stage.redis.signal(Signal::SIGSTOP);
    is_down(&stage, "not answered").await;
    stage.redis.signal(Signal::SIGCONT);
    is_back(&stage).await;
    assert!(!relay.log().contains("Redis lost data"), "{}", relay.log_tail());
    let numbered = Numbered { rows: 20, keys: 3 };
    numbered.insert(&stage).await;
    stage.drained().await;
    numbered.check(&stage, "events.order").await;
}

/// Side by side, because each takes some seconds of waiting.
#[tokio::test]
async fn an_idle_relay_notices_that_redis_is_full_or_closed() {
    let harms: [Harm; 3] = [
        (&["ACL", "SETUSER", "relay", "-@all", "+ping"], "NOPERM", ALL_RIGHTS),
        // "can't run this command", or "no permissions to run the 'hset' command".
        (&["ACL", "SETUSER", "relay", "-hset"], "run th", ALL_RIGHTS),
        (&["CONFIG", "SET", "maxmemory", "1"], "OOM", &["CONFIG", "SET", "maxmemory", "0"]),
    ];
    let each = async |(harm, words, undo): Harm| {
        let stage = stage("poll_interval = \"1h\"").await;
        let _relay = stage.relay();
        stage.ready(200).await;
        run(&stage, harm).await;
        is_down(&stage, words).await;
        run(&stage, undo).await;
        is_back(&stage).await;
    };
    let [one, two, three] = harms;
    tokio::join!(each(one), each(two), each(three));
}

/// What it delivered is gone: an idle relay says so before the next event, and once.
#[tokio::test]
async fn an_idle_relay_notices_a_loss() {
    let stage = stage("poll_interval = \"1h\"").await;
    let relay = stage.relay();
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
    run(&stage, &["FLUSHALL"]).await;
    noticed(&stage, &relay).await;
    let recovered = eventually(LIMIT, "a generation", async || {
        stage.number("select generation from outflow.outbox").await == 2
    });
    assert!(recovered.await.is_ok(), "{}", relay.log_tail());
    assert_eq!(relay.log().matches("Redis lost data").count(), 1, "{}", relay.log_tail());
}

async fn noticed(stage: &Stage, relay: &Program) {
    let told = eventually(LIMIT, "the loss", async || {
        stage.metrics().await.contains("outflow_redis_rollbacks_total{outbox=\"orders\"} 1")
    });
    assert!(told.await.is_ok(), "{}", relay.log_tail());
}

/// It owns no slot, and could take none over.
#[tokio::test]
async fn a_standby_notices_too() {
    let mut stage = stage("").await;
    let _at_work = stage.member("at-work");
    stage.shared_by(1).await;
    stage.configure_with(
        &stage.redis.url().replace("redis://", "redis://relay:hunter2@"),
        &outbox("").replace("events.", "other."),
    );
    let standby = stage.relay();
    let stands_by = eventually(LIMIT, "the line", async || standby.log().contains("standby: "));
    assert!(stands_by.await.is_ok(), "{}", standby.log_tail());
    stage.ready(200).await;
    stage.redis.kill().await.expect("its end");
    is_down(&stage, "no connection to Redis").await;
    stage.redis.start_again().await.expect("a start");
    run(&stage, ALL_RIGHTS).await;
    is_back(&stage).await;
    stage.redis.signal(Signal::SIGSTOP);
    is_down(&stage, "not answered").await;
    stage.redis.signal(Signal::SIGCONT);
    is_back(&stage).await;
}

/// The other server: it notices on the control connection.
#[tokio::test]
async fn an_idle_relay_notices_that_postgres_is_away() {
    let mut stage = stage("poll_interval = \"1h\"").await;
    let _relay = stage.relay();
    stage.ready(200).await;
    stage.postgres.stop_immediate().await.expect("its end");
    is_down(&stage, "Postgres").await;
    stage.postgres.start_again().await.expect("a start");
    is_back(&stage).await;
}
