//! From a table that is drained by deleting to one that is kept, and back.

use outflow_local::Signal;

use super::delivery::{check, counters, write};
use super::{LAYOUTS, kept_as, kept_with, mended};
use crate::support::{LIMIT, Numbered, Stage, outbox};

const DELETING: &str = "batch_rows = 20";

/// The statements that an error prints, to be run by whoever reads it.
fn printed(log: &str) -> Vec<String> {
    let from = log.find("begin; ").unwrap_or_else(|| panic!("no statement: {log}"));
    let (statements, _) = log[from..].split_once("commit;").expect("an end");
    vec![format!("{statements}commit;").replace("\\\"", "\"")]
}

/// A live table gets the column and the indexes while a relay still deletes from it.
#[tokio::test]
async fn a_live_table_is_kept_from_now_on_and_drained_again() {
    let stage = Stage::new(&outbox(DELETING)).await;
    counters(&stage).await;
    let mut relay = stage.relay();
    write(&stage, 4, 20).await;
    stage.configure(&kept_with(DELETING));
    tokio::join!(write(&stage, 4, 40), mended(&stage));
    // Whoever keeps stands by until nobody deletes any more.
    let mut kept = stage.member("kept");
    write(&stage, 4, 20).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    write(&stage, 4, 40).await;
    check(&stage).await;
    let there = stage.number("select count(*) from outbox").await;
    assert!(there > 0, "rows stay");
    kept.terminate();
    kept.wait(LIMIT).await.expect("an end");

    // Back: what was delivered is still there, and must not come again.
    write(&stage, 4, 20).await;
    let before = stage.length("events.order").await;
    stage.configure(&outbox(DELETING));
    let (code, log) = stage.finished("refused", &["run", "--once"]).await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("outflow.position has positions of it"), "{log}");
    let asked = stage.asked(&["check"]).await;
    assert_eq!(asked.code, Some(78), "{asked:?}");
    assert!(asked.stdout.contains("outflow.position has positions of it"), "{asked:?}");
    assert_eq!(stage.length("events.order").await, before, "nothing was delivered");
    for statements in printed(&log) {
        stage.sql(&statements).await;
    }
    stage.once().await;
    check(&stage).await;
    assert_eq!(stage.number("select count(*) from outbox").await, 0);

    // And kept once more: the journal still has the old position.
    write(&stage, 4, 20).await;
    stage.configure(&kept_with(DELETING));
    write(&stage, 4, 20).await;
    stage.once().await;
    check(&stage).await;
}

/// What a stream has not been given yet is not removed with what was delivered.
#[tokio::test]
async fn rows_that_wait_for_a_paused_stream_are_delivered_by_deleting() {
    for layout in LAYOUTS {
        let stage = Stage::new(&kept_as(layout, DELETING)).await;
        super::both(&stage, 1, 5).await;
        stage.once().await;
        let pause = ["pause", "--stream", "events.bad", "--why", "schema"];
        stage.asked(&pause).await.data();
        let mut relay = stage.relay();
        super::both(&stage, 6, 5).await;
        super::arrive(&stage, "events.good", 10).await;
        relay.terminate();
        relay.wait(LIMIT).await.expect("an end");
        stage.asked(&["resume", "--stream", "events.bad"]).await.data();
        super::both(&stage, 11, 5).await;
        stage.configure(&outbox(DELETING));
        let (code, log) = stage.finished("refused", &["run", "--once"]).await;
        assert_eq!(code, Some(78), "{log}");
        for statements in printed(&log) {
            stage.sql(&statements).await;
        }
        assert_eq!(stage.number("select count(*) from outbox").await, 50 + 100, "{layout}");
        stage.once().await;
        super::are_there(&stage, "events.good", 15).await;
        super::are_there(&stage, "events.bad", 15).await;
        assert_eq!(stage.number("select count(*) from outbox").await, 0);
    }
}

/// The last relay that deletes is killed between its append and its commit: what it appended is in
/// the journal, and the relay that keeps does not send it again.
#[tokio::test]
async fn a_relay_that_deletes_is_killed_before_rows_are_kept() {
    let rows = Numbered { rows: 8_000, keys: 17 };
    let stage = Stage::new(&outbox(DELETING)).await;
    stage.configure(&kept_with(DELETING));
    mended(&stage).await;
    stage.configure(&outbox(DELETING));
    rows.insert(&stage).await;
    for kill in 1..=3 {
        let mut relay = stage.relay();
        stage.reaches("events.order", kill * 1_000).await;
        relay.signal(Signal::SIGKILL);
        relay.wait(LIMIT).await.expect("its end");
    }
    stage.configure(&kept_with(DELETING));
    let mut kept = stage.relay();
    stage.reaches("events.order", 8_000).await;
    kept.terminate();
    kept.wait(LIMIT).await.expect("an end");
    rows.check(&stage, "events.order").await;
}
