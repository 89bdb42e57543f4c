//! A paused stream: the others run, and it keeps its order.

use outflow_local::eventually;

use super::heeds;
use crate::support::{LIMIT, Stage, check_numbered, outbox};

/// Inserts `rows` events for each of two streams, with the same keys, numbered from `from`.
async fn both(stage: &Stage, from: i64, rows: i64) {
    stage
        .sql(&format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select kind, 'k' || k, 'T', jsonb_build_object('key', 'k' || k, 'n', n) \
             from generate_series({from}, {from} + {rows} / 10 - 1) n, generate_series(0, 9) k, \
               unnest('{{order,stock}}'::text[]) kind order by n"
        ))
        .await;
}

/// The claims go past the rows of the paused stream, again and again; each resumption finds them,
/// before anything newer.
#[tokio::test]
async fn it_is_left_out_and_comes_in_order_when_it_is_resumed() {
    let stage = Stage::new(&outbox("batch_rows = 20\npoll_interval = \"1h\"")).await;
    let members = [stage.member("one"), stage.member("two")];
    stage.shared_by(2).await;
    let stream = ["--stream", "events.order"];
    let mut sent = 0;
    for round in 1..=6 {
        stage.asked(&[&["pause", "--why", "schema"], &stream[..]].concat()).await.data();
        for member in &members {
            heeds(member, round).await;
        }
        let held = stage.length("events.order").await;
        both(&stage, sent / 10 + 1, 400).await;
        sent += 400;
        stage.reaches("events.stock", sent).await;
        assert_eq!(stage.length("events.order").await, held, "paused in round {round}");
        // More come while it is resumed: they must not overtake.
        let (resumed, ()) = tokio::join!(
            async { stage.asked(&[&["resume"], &stream[..]].concat()).await },
            both(&stage, sent / 10 + 1, 400)
        );
        let resumed = resumed.data();
        assert!(resumed.contains("orders: stream events.order: resumed;"), "{resumed}");
        sent += 400;
    }
    stage.drained().await;
    for stream in ["events.order", "events.stock"] {
        let counted = check_numbered(&stage.entries(stream).await);
        assert_eq!(counted.values().sum::<i64>(), sent, "{stream}");
    }
}

/// `--once` delivers the rest, and says what it left.
#[tokio::test]
async fn once_leaves_it_and_says_so() {
    let stage = Stage::new(&outbox("")).await;
    both(&stage, 1, 100).await;
    stage.asked(&["pause", "--stream", "events.order", "--why", "schema"]).await.data();
    let (code, log) = stage.finished("once", &["run", "--once"]).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("stream events.order is paused since 20"), "{log}");
    assert_eq!(stage.length("events.stock").await, 100);
    assert_eq!(stage.length("events.order").await, 0);
    stage.asked(&["resume", "--stream", "events.order"]).await.data();
    stage.once().await;
    check_numbered(&stage.entries("events.order").await);
    // Nothing waits for it: that is a success, and no event can tell.
    stage.asked(&["pause", "--stream", "events.order", "--why", "schema"]).await.data();
    stage.once().await;
}

/// A parked stream that is paused is neither probed nor given up, and is probed at once when it is
/// resumed.
#[tokio::test]
async fn a_parked_stream_can_be_mended_in_peace() {
    let stage = Stage::new(&outbox("park_max = \"2s\"")).await;
    stage.asked(&["pause", "--stream", "events.order", "--why", "mending"]).await.data();
    let relay = stage.relay();
    heeds(&relay, 1).await;
    stage.command("SET", &["events.order", "no stream"]).await;
    both(&stage, 1, 100).await;
    stage.reaches("events.stock", 100).await;
    stage.asked(&["resume", "--stream", "events.order"]).await.data();
    let parks = async || relay.log().contains("parked it");
    eventually(LIMIT, "the stream to be parked", parks).await.expect("parked");
    stage.asked(&["pause", "--stream", "events.order", "--why", "mending"]).await.data();
    heeds(&relay, 2).await;
    stage.command("DEL", &["events.order"]).await;
    stage.asked(&["resume", "--stream", "events.order"]).await.data();
    stage.drained().await;
    let letters = stage.number("select count(*) from outflow.dead_letter").await;
    let entries = stage.entries("events.order").await;
    assert_eq!(i64::try_from(entries.len()).expect("few") + letters, 100);
}
