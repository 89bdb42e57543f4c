//! Pauses of a kept outbox and of one of its streams: what is read goes on, and nothing is passed.

use super::{LAYOUTS, are_there, arrive, both, kept_as, left_behind};
use crate::pause::heeds;
use crate::support::{LIMIT, Stage, check_numbered};

const STREAM: [&str; 2] = ["--stream", "events.bad"];

#[tokio::test]
async fn a_paused_stream_waits_through_restarts_and_comes_in_order() {
    for layout in LAYOUTS {
        let settings = "batch_rows = 20\npoll_interval = \"1h\"";
        let stage = Stage::new(&kept_as(layout, settings)).await;
        let (mut one, mut two) = (stage.member("one"), stage.member("two"));
        stage.shared_by(2).await;
        both(&stage, 1, 5).await;
        arrive(&stage, "events.bad", 5).await;
        stage.asked(&[&["pause", "--why", "schema"], &STREAM[..]].concat()).await.data();
        heeds(&one, 1).await;
        heeds(&two, 1).await;
        both(&stage, 6, 5).await;
        arrive(&stage, "events.good", 10).await;

        two.kill();
        let mut three = stage.member("three");
        heeds(&three, 1).await;
        stage.shared_by(2).await;
        both(&stage, 11, 5).await;
        arrive(&stage, "events.good", 15).await;
        one.terminate();
        one.wait(LIMIT).await.expect("an end");
        three.terminate();
        three.wait(LIMIT).await.expect("an end");
        assert!(left_behind(&stage).await > 0, "{layout}");
        let mut four = stage.member("four");
        heeds(&four, 1).await;
        both(&stage, 16, 5).await;
        arrive(&stage, "events.good", 20).await;
        are_there(&stage, "events.bad", 5).await;

        // More come while it is resumed: they must not overtake.
        let (resumed, ()) = tokio::join!(
            async { stage.asked(&[&["resume"], &STREAM[..]].concat()).await },
            both(&stage, 21, 20)
        );
        resumed.data();
        arrive(&stage, "events.bad", 40).await;
        arrive(&stage, "events.good", 40).await;
        four.terminate();
        four.wait(LIMIT).await.expect("an end");
        for stream in ["events.good", "events.bad"] {
            are_there(&stage, stream, 40).await;
        }
    }
}

/// A stream that has caught up while the others are in the middle of very many rows: read first,
/// and up to now, it left no turn to them as long as anybody wrote to it.
#[tokio::test]
async fn a_resumed_stream_that_never_rests_leaves_the_others_their_turn() {
    let stage = Stage::new(&kept_as("ring", "batch_rows = 10")).await;
    let relay = stage.member("one");
    both(&stage, 1, 1).await;
    arrive(&stage, "events.good", 1).await;
    arrive(&stage, "events.bad", 1).await;
    stage.asked(&[&["pause", "--why", "schema"], &STREAM[..]].concat()).await.data();
    heeds(&relay, 1).await;
    let rows = |kind: &str, key: &str, from: i64, to: i64| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             select '{kind}', '{key}', 'T', json_build_object('key', '{key}', 'n', n) \
             from generate_series({from}, {to}) n"
        )
    };
    let writer = stage.client().await;
    writer.batch_execute(&rows("bad", "never", 1, 1)).await.expect("a row");
    stage.sql(&rows("good", "many", 1, 10_000)).await;
    stage.asked(&[&["resume"], &STREAM[..]].concat()).await.data();
    let written = std::cell::Cell::new(1);
    let never_rests = async {
        loop {
            let next = written.get() + 1;
            writer.batch_execute(&rows("bad", "never", next, next)).await.expect("a row");
            written.set(next);
        }
    };
    tokio::select! {
        () = never_rests => {}
        () = stage.reaches("events.good", 10_010) => {}
    }
    stage.reaches("events.bad", written.get() + 10).await;
    for stream in ["events.good", "events.bad"] {
        check_numbered(&stage.entries(stream).await);
    }
}

#[tokio::test]
async fn a_paused_outbox_reads_nothing_and_goes_on_where_it_was() {
    for layout in LAYOUTS {
        let settings = "batch_rows = 20\npoll_interval = \"1h\"";
        let stage = Stage::new(&kept_as(layout, settings)).await;
        let (one, mut two) = (stage.member("one"), stage.member("two"));
        stage.shared_by(2).await;
        both(&stage, 1, 5).await;
        arrive(&stage, "events.bad", 5).await;
        arrive(&stage, "events.good", 5).await;
        stage.asked(&["pause", "--why", "upgrade"]).await.data();
        heeds(&one, 1).await;
        heeds(&two, 1).await;
        two.kill();
        both(&stage, 6, 100).await;
        let three = stage.member("three");
        heeds(&three, 1).await;
        stage.shared_by(2).await;
        are_there(&stage, "events.good", 5).await;
        let (resumed, ()) =
            tokio::join!(async { stage.asked(&["resume"]).await }, both(&stage, 106, 10));
        resumed.data();
        arrive(&stage, "events.bad", 115).await;
        arrive(&stage, "events.good", 115).await;
    }
}

/// It is neither probed nor passed, and is probed at once when it is resumed.
#[tokio::test]
async fn a_parked_stream_can_be_mended_in_peace() {
    let stage = Stage::new(&kept_as("ring", "")).await;
    let relay = stage.relay();
    stage.command("SET", &["events.bad", "no stream"]).await;
    both(&stage, 1, 5).await;
    arrive(&stage, "events.good", 5).await;
    stage.asked(&[&["pause", "--why", "mending"], &STREAM[..]].concat()).await.data();
    heeds(&relay, 1).await;
    stage.command("DEL", &["events.bad"]).await;
    both(&stage, 6, 5).await;
    arrive(&stage, "events.good", 10).await;
    assert_eq!(stage.length("events.bad").await, 0);
    stage.asked(&[&["resume"], &STREAM[..]].concat()).await.data();
    arrive(&stage, "events.bad", 10).await;
    are_there(&stage, "events.good", 10).await;
}
