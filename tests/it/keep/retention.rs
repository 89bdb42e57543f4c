//! Rows that are older than they are kept are removed once they are read, and only then.

use std::time::Duration;

use outflow::relay::event::Acknowledged;
use outflow::relay::kept::healing::Copied;
use outflow::relay::kept::pieces::Pieces;
use outflow::relay::kept::position::Position;
use outflow::relay::kept::snapshot::Snapshot;
use outflow::relay::options::Settle;
use outflow::relay::outbox::kept::retention::ring::{Emptied, Look, Partition};
use outflow::relay::outbox::kept::retention::rules::Rules;
use outflow_local::eventually;
use tokio_postgres::Client;

use super::kept_with;
use crate::support::{LIMIT, Stage};

const RING: &str = "[outbox.keep]\nfor = \"2d\"\nlayout = \"ring\"";
const PLAIN: &str = "[outbox.keep]\nfor = \"2d\"\nlayout = \"plain\"";
/// A round is made once a minute.
const ROUND: Duration = Duration::from_mins(3);

/// Rows of this stream, as old as that.
async fn insert(stage: &Stage, rows: i64, kind: &str, age: &str) {
    stage
        .sql(&format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, created_at) \
             select '{kind}', 'k' || i % 7, 'T', '{{}}', now() - interval '{age}' \
             from generate_series(1, {rows}) i"
        ))
        .await;
}

async fn becomes(stage: &Stage, query: &str, expected: i64) {
    let client = stage.client().await;
    eventually(ROUND, &format!("{query} to be {expected}"), async || {
        client.query_one(query, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == expected)
    })
    .await
    .expect("what is expected");
}

async fn status_says(stage: &Stage, words: &str) {
    eventually(ROUND, &format!("status to say {words:?}"), async || {
        stage.asked(&["status"]).await.stdout.contains(words)
    })
    .await
    .expect("a status");
}

#[tokio::test]
async fn old_partitions_are_emptied_and_young_rows_stay() {
    let stage = Stage::new(&kept_with(RING)).await;
    // The ring has four partitions of a day.
    insert(&stage, 50, "order", "66 hours").await;
    insert(&stage, 30, "order", "1 hour").await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 80);
    let _relay = stage.relay();
    becomes(&stage, "select count(*) from outbox", 30).await;
    assert_eq!(
        stage
            .number(
                "select count(*) from outbox where created_at < now() - \
        interval '2 days'"
            )
            .await,
        0
    );
    assert_eq!(stage.length("events.order").await, 80);
}

#[tokio::test]
async fn old_rows_of_a_plain_table_are_deleted_in_steps() {
    let stage = Stage::new(&kept_with(PLAIN)).await;
    insert(&stage, 2_500, "order", "3 days").await;
    insert(&stage, 30, "order", "1 hour").await;
    stage.once().await;
    let _relay = stage.relay();
    becomes(&stage, "select count(*) from outbox", 30).await;
    assert_eq!(stage.length("events.order").await, 2_530);
}

#[tokio::test]
async fn unread_rows_of_a_paused_stream_stay_and_status_says_so() {
    for layout in [RING, PLAIN] {
        let stage = Stage::new(&kept_with(layout)).await;
        let pause = ["pause", "--outbox", "orders", "--stream", "events.held", "--why", "a test"];
        stage.asked(&pause).await.data();
        insert(&stage, 40, "held", "66 hours").await;
        insert(&stage, 1_500, "order", "66 hours").await;
        // A relay looks at once, and once a minute from there on.
        let mut relay = stage.relay();
        stage.reaches("events.order", 1_500).await;
        relay.terminate();
        relay.wait(LIMIT).await.expect("an end");
        let mut relay = stage.relay();
        status_says(&stage, "events.held").await;
        status_says(&stage, "retention").await;
        assert_eq!(
            stage.number("select count(*) from outbox where aggregate_type = 'held'").await,
            40
        );
        let resume = ["resume", "--outbox", "orders", "--stream", "events.held"];
        stage.asked(&resume).await.data();
        stage.reaches("events.held", 40).await;
        relay.terminate();
        relay.wait(LIMIT).await.expect("an end");
        let _relay = stage.relay();
        becomes(&stage, "select count(*) from outbox", 0).await;
        assert_eq!(stage.length("events.held").await, 40);
        assert_eq!(stage.length("events.order").await, 1_500);
    }
}

#[tokio::test]
async fn nothing_is_lost_after_a_month_without_a_relay() {
    let stage = Stage::new(&kept_with(RING)).await;
    stage.once().await;
    // Every partition has rows of many rounds of the ring.
    for day in 0..30 {
        insert(&stage, 20, "order", &format!("{day} days")).await;
    }
    let _relay = stage.relay();
    stage.reaches("events.order", 600).await;
    insert(&stage, 20, "order", "25 days").await;
    stage.reaches("events.order", 620).await;
    // Young rows keep the old ones of their partition.
    let young = stage
        .number(
            "select count(*) from outbox where created_at > now() - \
        interval '2 days'",
        )
        .await;
    becomes(&stage, "select count(distinct tableoid) from outbox", young / 20).await;
    assert_eq!(stage.length("events.order").await, 620);
}

#[tokio::test]
async fn an_open_writer_is_not_waited_for_and_its_rows_are_delivered() {
    let stage = Stage::new(&kept_with(RING)).await;
    insert(&stage, 50, "order", "66 hours").await;
    stage.once().await;
    let writer = stage.client().await;
    writer
        .batch_execute(
            "begin; insert into outbox (aggregate_type, aggregate_id, event_type, payload, \
             created_at) values ('order', 'k', 'T', '{}', now() - interval '66 hours')",
        )
        .await
        .expect("an insert");
    let _relay = stage.relay();
    status_says(&stage, "an open transaction has it locked").await;
    assert_eq!(stage.number("select count(*) from outbox").await, 50);
    writer.batch_execute("commit").await.expect("a commit");
    stage.reaches("events.order", 51).await;
    becomes(&stage, "select count(*) from outbox", 0).await;
    assert_eq!(stage.length("events.order").await, 51);
}

/// Rules for a position that is behind everything that was committed by now.
async fn rules(stage: &Stage, client: &Client) -> Rules {
    let file = stage.path().join("outflow.toml");
    let source = outflow::config::Source { file: Some(file) };
    let config = outflow::config::load(&source).expect("a configuration");
    let outbox = &config.outboxes[0];
    let Settle::Keep(keep) = &outbox.settle else { panic!("it is kept") };
    let row = client.query_one("select pg_current_snapshot()::text", &[]).await.expect("a row");
    let seen = Snapshot::parse(row.get(0)).expect("a snapshot");
    let copy = Copied {
        at: Acknowledged { generation: 1, member: 1, batch: 1 },
        pieces: Pieces::whole(Position::behind(seen, 0)),
    };
    Rules::new(outbox, keep, &[copy], Some("timestamp with time zone")).expect("rules")
}

#[tokio::test]
async fn a_row_that_comes_between_the_look_and_the_lock_is_seen() {
    let stage = Stage::new(&kept_with(RING)).await;
    insert(&stage, 50, "order", "66 hours").await;
    let (client, writer) = (stage.client().await, stage.client().await);
    let oid = client.query_one("select 'outbox'::regclass::oid", &[]).await.expect("a row").get(0);
    let query = "select c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid), \
        pg_get_partkeydef('outbox'::regclass) from outbox as t join pg_class c \
        on c.oid = t.tableoid limit 1";
    let row = client.query_one(query, &[]).await.expect("a partition");
    let (name, bound, key): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let slot = bound.chars().filter(char::is_ascii_digit).collect::<String>().parse();
    let key = key.strip_prefix("LIST (").and_then(|key| key.strip_suffix(')')).expect("a list");
    let partition = Partition { name, key: key.to_owned(), slot: slot.expect("a slot") };
    let rules = rules(&stage, &client).await;
    let due = async || match partition.look(&client, &rules).await.expect("a look") {
        Look::Due { seen } => seen,
        other => panic!("{other:?}"),
    };
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload, \
        created_at) values ('order', 'k', 'T', '{}', now() - interval '66 hours')";
    let empty = async |seen: &str, generation: i64| {
        let at: (u32, i64) = (oid, generation);
        partition.empty(&client, &rules, seen, at).await.expect("an answer")
    };
    // Open during the look and over before the lock, and begun after the look.
    for is_open in [true, false] {
        if is_open {
            writer.batch_execute(&format!("begin; {insert}")).await.expect("an insert");
        }
        let seen = due().await;
        if is_open {
            assert_eq!(empty(&seen, 0).await, Emptied::Locked);
            writer.batch_execute("commit").await.expect("a commit");
        } else {
            writer.batch_execute(insert).await.expect("an insert");
        }
        assert_eq!(empty(&seen, 0).await, Emptied::Changed);
        assert_eq!(stage.number("select count(*) from outbox").await, 51);
        assert!(matches!(partition.look(&client, &rules).await, Ok(Look::Unread { .. })));
        stage.sql("delete from outbox where aggregate_id = 'k'").await;
    }
    let seen = due().await;
    assert_eq!(empty(&seen, 7).await, Emptied::Changed, "another generation");
    assert_eq!(empty(&seen, 0).await, Emptied::Done);
    assert_eq!(stage.number("select count(*) from outbox").await, 0);
}
