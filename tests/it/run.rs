//! How the relay runs: stops, waking, several outboxes, a second relay.

use std::time::Duration;

use outflow_local::eventually;

use crate::support::{LIMIT, Numbered, Stage, event_table, outbox};

#[tokio::test]
async fn sigterm_settles_what_is_in_flight_and_exits_0() {
    let stage = Stage::new(&outbox("batch_rows = 50")).await;
    let rows = Numbered { rows: 20_000, keys: 11 };
    rows.insert(&stage).await;
    let mut relay = stage.relay();
    stage.reaches("events.order", 1_000).await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
    let (appended, left) =
        (stage.length("events.order").await, stage.number("select count(*) from outbox").await);
    assert_eq!(appended + left, rows.rows, "appended and left");
    assert!(left > 0, "the stop came after the end");
    let journal = stage.command("KEYS", &["outflow:journal:*"]).await;
    let journal =
        String::from_utf8(journal.items()[0].text().expect("a key").to_vec()).expect("a text");
    let fields = stage.command("HKEYS", &[&journal]).await;
    let batches = fields
        .items()
        .iter()
        .filter(|field| field.text().is_some_and(|name| name.starts_with(b"batch:")));
    assert_eq!(batches.count(), 0, "a stop leaves no settled batch in the journal");
    stage.once().await;
    rows.check(&stage, "events.order").await;
}

/// With `poll_interval` at an hour, only a notification can wake it; each of these would wait for
/// ever otherwise.
#[tokio::test]
async fn an_insert_wakes_a_sleeping_relay() {
    let stage = Stage::new(&outbox("poll_interval = \"1h\"")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let one = Numbered { rows: 1, keys: 1 };
    for round in 1..=20 {
        eventually(LIMIT, "the relay to sleep", async || {
            stage.metrics().await.contains("outflow_asleep{outbox=\"orders\"} 1")
        })
        .await
        .expect("sleep");
        one.insert(&stage).await;
        stage.reaches("events.order", round).await;
    }
}

/// A writer that holds its transaction open keeps the relay awake, but nothing waits for it.
#[tokio::test]
async fn nothing_waits_for_a_writer_that_does_not_commit() {
    let stage = Stage::new(&outbox("poll_interval = \"1h\"")).await;
    let _relay = stage.relay();
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
        ('order', 'k', 'T', '{}')";
    let slow = stage.client().await;
    slow.batch_execute(&format!("begin; {insert}")).await.expect("an open transaction");
    stage.sql(insert).await;
    stage.reaches("events.order", 1).await;
    slow.batch_execute("commit").await.expect("a commit");
    stage.reaches("events.order", 2).await;
    stage.drained().await;
}

#[tokio::test]
async fn several_outboxes_run_side_by_side() {
    let second =
        "[[outbox]]\nname = \"audit\"\ntable = \"app.audit\"\nstream = \"audit\"\nin_flight = 1\n";
    let stage = Stage::bare(&format!("{}{second}", outbox(""))).await;
    stage.sql(&format!("create schema app; {}", event_table("app.audit"))).await;
    stage.migrate().await;
    let (orders, audit) = (Numbered { rows: 5_000, keys: 7 }, Numbered { rows: 3_000, keys: 2 });
    orders.insert(&stage).await;
    audit.insert_into(&stage, "app.audit").await;
    let mut relay = stage.relay();
    stage.drained().await;
    stage.emptied("app.audit").await;
    orders.check(&stage, "events.order").await;
    audit.check(&stage, "audit").await;
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}

/// The stop does not wait for a server that is away.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_server() {
    let mut stage = Stage::new(&outbox("")).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    stage.redis.kill().await.expect("its end");
    Numbered { rows: 10, keys: 1 }.insert(&stage).await;
    stage.ready(503).await;
    relay.terminate();
    let status = relay.wait(Duration::from_secs(20)).await.expect("an end");
    assert!(status.success(), "{}", relay.log_tail());
    assert_eq!(stage.number("select count(*) from outbox").await, 10);
}
