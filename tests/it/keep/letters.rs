//! Letters that are written before the append that passes their rows, and then nobody passes them:
//! the rows are delivered, and the letters must not stand for them.

use outflow_local::{Program, eventually};

use super::dead::{event, letters, plain, reasons};
use crate::pause::heeds;
use crate::support::{LIMIT, Stage};

const STREAM: [&str; 2] = ["--stream", "events.bad"];

/// A relay that has given up a stream, and does not try it for a while: each of its rows has a
/// letter.
async fn given_up() -> (Stage, Program) {
    let stage = Stage::new(&plain("park_max = \"1s\"\npoll_interval = \"50ms\"")).await;
    stage.command("SET", &["events.bad", "not a stream"]).await;
    let relay = stage.relay();
    stage.ready(200).await;
    stage.sql(&event("bad", "k", 1, 0)).await;
    until_there_is(&stage, "select 1 from outflow.dead_letter where pending is null").await;
    // Each try doubles the pause before the next one.
    for _ in 0..5 {
        let before = stage.refusals().await;
        let asked = stage.asked(&["stream", "retry", "events.bad"]).await;
        assert_eq!(asked.code, Some(0), "{asked:?}");
        let tried = async || {
            stage.sql(&event("bad", "k", 1, 0)).await;
            stage.refusals().await > before
        };
        eventually(LIMIT, "a refusal", tried).await.expect("a try");
    }
    let waits = "select count(*) from outbox where id not in (select kept from outflow.dead_letter \
        where pending is null)";
    let none = async || stage.number(waits).await == 0;
    eventually(LIMIT, "a letter for each row", none).await.expect("letters");
    (stage, relay)
}

async fn until_there_is(stage: &Stage, what: &str) {
    let query = format!("select count(*) from ({what}) as found");
    let is_there = async || stage.number(&query).await > 0;
    eventually(LIMIT, what, is_there).await.expect("it");
}

async fn has_resumed(relay: &Program) {
    let resumed = async || relay.log().contains("resuming");
    let resumed = eventually(LIMIT, "the end of the pause", resumed).await;
    assert!(resumed.is_ok(), "{}", relay.log_tail());
}

/// After a recovery, which looks after letters that nobody has counted: the rows that were given up
/// have one, and each other is there once.
async fn have_one_letter(stage: &Stage) {
    let _relay = stage.relay();
    stage.ready(200).await;
    stage.sql(&event("bad", "k", 3, 0)).await;
    stage.reaches("events.bad", 2).await;
    let given_up = stage.number("select count(*) from outbox where payload ->> 'n' = '1'").await;
    assert_eq!(letters(stage).await, (reasons(&[("refused", given_up)]), given_up));
    let entries = stage.entries("events.bad").await;
    let numbers: Vec<i64> = entries
        .iter()
        .map(|entry| {
            let payload: serde_json::Value =
                serde_json::from_str(entry.field("payload")).expect("JSON");
            payload["n"].as_i64().expect("a number")
        })
        .collect();
    assert_eq!(numbers, [2, 3]);
}

#[tokio::test]
async fn a_row_that_is_delivered_after_all_has_no_letter() {
    let (stage, mut relay) = given_up().await;
    // Nothing can be appended: the next letter is written, and its row not passed.
    stage.command("CONFIG", &["SET", "maxmemory", "1"]).await;
    stage.sql(&event("bad", "k", 2, 0)).await;
    until_there_is(&stage, "select 1 from outflow.dead_letter where pending is not null").await;
    // Whoever resumes a stream has mended it: nothing of it is given up.
    stage.asked(&[&["pause", "--why", "mending it"], &STREAM[..]].concat()).await.data();
    heeds(&relay, 1).await;
    stage.command("DEL", &["events.bad"]).await;
    stage.asked(&[&["resume"], &STREAM[..]].concat()).await.data();
    has_resumed(&relay).await;
    stage.command("CONFIG", &["SET", "maxmemory", "0"]).await;
    stage.reaches("events.bad", 1).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    have_one_letter(&stage).await;
}

/// A server does not hear at once that its client was killed, and does what it was asked for. The
/// next member has delivered the row by then, or waits for the end of that.
#[tokio::test]
async fn no_letter_of_a_killed_relay_comes_behind_the_next_recovery() {
    let (stage, mut relay) = given_up().await;
    stage.asked(&["pause", "--why", "to look at it"]).await.data();
    heeds(&relay, 1).await;
    stage.sql(&event("bad", "k", 2, 0)).await;
    // A letter of the same row, not committed: who writes another one waits.
    let client = stage.client().await;
    client
        .batch_execute(
            "begin; insert into outflow.dead_letter \
                (outbox, \"row\", event_id, type, payload, reason, kept, xid, pending) \
             select 'orders', id::text, event_id::text, event_type, '', 'refused', id, xid::text, \
                '0' from outbox where id = (select max(id) from outbox)",
        )
        .await
        .expect("a letter");
    stage.asked(&["resume"]).await.data();
    has_resumed(&relay).await;
    let writes = "select 1 from pg_locks where locktype = 'transactionid' and not granted";
    until_there_is(&stage, writes).await;
    relay.kill();
    stage.command("DEL", &["events.bad"]).await;

    let mut relay = stage.relay();
    let recovers = "select 1 from pg_locks where locktype = 'advisory' and not granted";
    let goes_on = async || {
        let waiting = stage.number(&format!("select count(*) from ({recovers}) as w")).await;
        waiting > 0 || stage.length("events.bad").await > 0
    };
    eventually(LIMIT, "the next member", goes_on).await.expect("progress");
    client.batch_execute("rollback").await.expect("its end");
    stage.reaches("events.bad", 1).await;
    let written = format!("select count(*) from ({writes}) as w");
    let over = async || stage.number(&written).await == 0;
    eventually(LIMIT, "the end of the killed relay's statement", over).await.expect("it");
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    have_one_letter(&stage).await;
}
