//! What is done to streams on request: a parked one is tried now, and a stale group is dropped.

use std::time::Duration;

use jiff::Timestamp;
use outflow::operate::audit::Who;
use outflow::operate::streams::{self, Dropped, Streams};
use outflow_local::eventually;
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, outbox};

const STREAM: &str = "events.order";

/// When the relay tries the stream again by itself, once that is some time away.
async fn next_probe(stage: &Stage) -> Timestamp {
    eventually(LIMIT, "a long pause", async || {
        let status = stage.asked(&["status", "--json"]).await.json();
        let parked = &status[0]["outboxes"][0]["parked"][0];
        let next: Timestamp = parked["next_probe"].as_str()?.parse().ok()?;
        (next.duration_since(Timestamp::now()).as_secs() >= 6).then_some(next)
    })
    .await
    .expect("a parked stream")
}

#[tokio::test]
async fn a_parked_stream_is_tried_at_once() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("SET", &[STREAM, "no stream"]).await;
    let _relay = stage.relay();
    Numbered { rows: 5, keys: 1 }.insert(&stage).await;
    let next = next_probe(&stage).await;
    stage.command("DEL", &[STREAM]).await;
    let asked = stage.asked(&["stream", "retry", STREAM, "--json"]).await.json();
    assert_eq!(asked[0]["outbox"], "orders");
    assert_eq!(asked[0]["is_known_parked"], true, "{asked:?}");
    stage.reaches(STREAM, 5).await;
    assert!(Timestamp::now() < next, "it did not wait for {next}");
    let noted = "select count(*) from outflow.audit where action = 'retry parked stream' and \
        outbox = 'orders' and filter = '{\"stream\": \"events.order\"}' and via = 'command line' \
        and operator is null and os_user <> ''";
    assert_eq!(stage.number(noted).await, 1);

    // Of a stream that is not parked it is said so, and one that no row can have is an error.
    let none = stage.asked(&["stream", "retry", "events.bill"]).await;
    assert!(none.code == Some(0) && none.stderr.contains("no relay says"), "{none:?}");
    let wrong = stage.asked(&["stream", "retry", "other"]).await;
    assert!(wrong.code == Some(78) && wrong.stderr.contains("events.{aggregate"), "{wrong:?}");
}

/// The group `slow` has read 10 of 100 entries, and has acknowledged none.
async fn scene() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 100, keys: 7 }.insert(&stage).await;
    stage.once().await;
    stage.command("XGROUP", &["CREATE", STREAM, "slow", "0"]).await;
    read(&stage, "10").await;
    stage
}

async fn read(stage: &Stage, count: &str) {
    let read = ["GROUP", "slow", "one", "COUNT", count, "STREAMS", STREAM, ">"];
    stage.command("XREADGROUP", &read).await;
}

async fn groups(stage: &Stage) -> usize {
    stage.command("XINFO", &["GROUPS", STREAM]).await.items().len()
}

#[tokio::test]
async fn a_group_is_dropped_only_if_nobody_uses_it() {
    let stage = scene().await;
    let drop = async |more: &[&str]| {
        let args = [&["stream", "drop-group", STREAM, "slow"], more].concat();
        stage.asked(&args).await
    };
    let active = drop(&["--yes"]).await;
    assert!(active.code == Some(1) && active.stderr.contains("in use, by \"one\""), "{active:?}");
    // From here on its consumer counts as gone.
    let idle = ["--idle", "1ms"];
    let dry = drop(&[&idle[..], &["--dry-run", "--json"]].concat()).await.json();
    let numbers = |object: &Value| (object["pending"].as_i64(), object["lag"].as_i64());
    assert_eq!((numbers(&dry[0]), &dry[0]["dropped"]), ((Some(10), Some(90)), &false.into()));
    let unasked = drop(&idle).await;
    assert_eq!((unasked.code, groups(&stage).await), (Some(1), 1), "{unasked:?}");
    assert_eq!(stage.number("select count(*) from outflow.audit").await, 0, "nothing was done");

    let done = drop(&[&idle[..], &["--yes"]].concat()).await;
    assert!(done.code == Some(0) && done.stdout.contains("with 10 pending entries"), "{done:?}");
    assert_eq!(groups(&stage).await, 0);
    let noted = "select count(*) from outflow.audit where action = 'drop group' and outbox = \
        'orders' and filter @> '{\"stream\": \"events.order\", \"group\": \"slow\", \"pending\": \
        10, \"lag\": 90, \"consumers\": 1}'";
    assert_eq!(stage.number(noted).await, 1);
    for (args, words) in [
        (["stream", "drop-group", STREAM, "slow"], "has no group \"slow\""),
        (["stream", "drop-group", "events.none", "slow"], "there is no stream"),
    ] {
        let missing = stage.asked(&args).await;
        assert!(missing.code == Some(1) && missing.stderr.contains(words), "{missing:?}");
    }
}

/// Between the question and the answer somebody may come back.
#[tokio::test]
async fn a_group_that_was_used_meanwhile_stays() {
    let stage = scene().await;
    let redis = stage.redis_client();
    redis.ready(LIMIT).await.expect("a connection");
    let streams = Streams::over(redis, "default");
    let client = stage.client().await;
    let who = Who::console("ada");
    let none = Duration::ZERO;
    let group = streams::group_of(&streams, STREAM, "slow", none).await.expect("a group");
    let drop = async |idle: Duration| {
        let outcome = streams::drop_group(&streams, &client, &who, "orders", &group, idle).await;
        outcome.expect("an outcome")
    };
    read(&stage, "5").await;
    assert_eq!(drop(Duration::from_hours(1)).await, Dropped::Active("one".to_owned()));
    assert_eq!(drop(none).await, Dropped::Changed(15));
    assert_eq!(groups(&stage).await, 1);
    let noted = "select count(*) from outflow.audit where action = 'drop group: not done' and via \
        = 'console' and operator = 'ada'";
    assert_eq!(stage.number(noted).await, 2);
    stage.command("XGROUP", &["DESTROY", STREAM, "slow"]).await;
    assert_eq!(drop(none).await, Dropped::Gone);
}
