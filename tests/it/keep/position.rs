//! `outflow position show` and `set`.

use serde_json::Value;

use super::kept_with;
use crate::support::{LIMIT, Numbered, Stage, outbox};

const ROWS: Numbered = Numbered { rows: 100, keys: 5 };

async fn set(stage: &Stage, to: &[&str]) -> Value {
    let args = [&["position", "set", "--outbox", "orders", "--json"][..], to].concat();
    stage.asked(&args).await.json().remove(0)
}

async fn show(stage: &Stage) -> Value {
    stage.asked(&["position", "show", "--json"]).await.json().remove(0)
}

/// Order values run from 1.
async fn delivered() -> Stage {
    let stage = Stage::new(&kept_with("")).await;
    ROWS.insert(&stage).await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 100);
    stage
}

#[tokio::test]
async fn a_position_is_shown_as_both_servers_have_it() {
    let stage = Stage::new(&kept_with("")).await;
    let nothing = stage.asked(&["position", "show"]).await.data();
    assert!(nothing.contains("none in Redis") && nothing.contains("none in Postgres"), "{nothing}");
    ROWS.insert(&stage).await;
    let mut relay = stage.relay();
    stage.reaches("events.order", 100).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    ROWS.insert(&stage).await;
    let shown = show(&stage).await;
    assert_eq!(shown["journal"]["open"], true, "{shown}");
    assert_eq!(shown["journal"]["is_of_this_server"], true, "{shown}");
    assert_eq!(shown["journal"]["members"][0]["parts"][0]["slots"], 64, "{shown}");
    assert_eq!(shown["journal"]["generation"], shown["copies"][0]["generation"], "{shown}");
    assert!(shown["unread_rows"].as_i64() >= Some(100), "{shown}");
    let text = stage.asked(&["position", "show", "--outbox", "orders"]).await.data();
    for words in ["generation", "open", "64 slots", "copy", "unread"] {
        assert!(text.contains(words), "{text} lacks {words:?}");
    }
}

#[tokio::test]
async fn rows_are_skipped_or_sent_again_as_asked() {
    let stage = delivered().await;
    ROWS.insert(&stage).await;
    let dry = set(&stage, &["--now", "--dry-run"]).await;
    assert_eq!((&dry["skipped"], &dry["generation"]), (&Value::from(100), &Value::Null), "{dry}");
    let moved = set(&stage, &["--now"]).await;
    assert_eq!((&moved["skipped"], &moved["sent_again"]), (&100.into(), &0.into()), "{moved}");
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 100);
    Numbered { rows: 3, keys: 3 }.insert(&stage).await;
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 103);
    let moved = set(&stage, &["--beginning"]).await;
    assert_eq!((&moved["skipped"], &moved["sent_again"]), (&0.into(), &203.into()), "{moved}");
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 306);
    let moved = set(&stage, &["--id", "193"]).await;
    assert_eq!((&moved["skipped"], &moved["sent_again"]), (&0.into(), &10.into()), "{moved}");
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 316);
    stage.sql("update outbox set created_at = now() - interval '1 hour' where id <= 150").await;
    let moved = set(&stage, &["--at", "30m"]).await;
    assert_eq!(moved["sent_again"], 53, "{moved}");
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 369);
    let audit = "select count(*) from outflow.audit where action = 'set position' and outbox = \
        'orders' and filter ? 'sent_again'";
    assert_eq!(stage.number(audit).await, 4, "a dry run leaves no trace");
}

#[tokio::test]
async fn what_was_committed_late_is_not_passed() {
    let stage = delivered().await;
    let late = stage.client().await;
    let work = "begin; insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        values ('order', 'late', 'T', '{}')";
    late.batch_execute(work).await.expect("an insert");
    Numbered { rows: 4, keys: 4 }.insert(&stage).await;
    for to in [&["--now"][..], &["--id", "105"]] {
        set(&stage, to).await;
        stage.once().await;
        assert_eq!(stage.length("events.order").await, 100, "{to:?}");
    }
    late.batch_execute("commit").await.expect("a commit");
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 101);
}

#[tokio::test]
async fn a_journal_that_is_gone_is_decided_about() {
    let stage = Stage::new(&kept_with("[outbox.keep]\non_loss = \"stop\"")).await;
    ROWS.insert(&stage).await;
    let mut relay = stage.relay();
    stage.reaches("events.order", 100).await;
    // Until the copy has come as far.
    let unread = async || show(&stage).await["unread_rows"].as_i64() == Some(0);
    outflow_local::eventually(LIMIT, "the copy", unread).await.expect("a copy");
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    stage.command("FLUSHALL", &[]).await;
    ROWS.insert(&stage).await;
    let (code, log) = stage.finished("stopped", &["run"]).await;
    assert_eq!(code, Some(78), "{log}");
    let moved = set(&stage, &["--copy"]).await;
    assert_eq!((&moved["skipped"], &moved["sent_again"]), (&0.into(), &0.into()), "{moved}");
    stage.once().await;
    ROWS.check(&stage, "events.order").await;
}

#[tokio::test]
async fn rows_of_another_server_are_numbered_anew() {
    for (to, expected) in [("--now", 104), ("--beginning", 304)] {
        let stage = delivered().await;
        // As a restored dump has them.
        stage
            .sql(
                "insert into outbox (xid, aggregate_type, aggregate_id, event_type, payload) \
                 select (9000000000 + i)::text::xid8, 'order', 'k', 'T', '{}' \
                 from generate_series(1, 100) i",
            )
            .await;
        let check = stage.asked(&["check"]).await;
        assert!(check.stdout.contains("outflow position set"), "{check:?}");
        let dry = set(&stage, &[to, "--dry-run"]).await;
        let foreign = "select count(*) from outbox where xid::text::bigint > 9000000000";
        assert_eq!((dry["renumbered"].as_i64(), stage.number(foreign).await), (Some(100), 100));
        let moved = set(&stage, &[to]).await;
        assert_eq!((moved["renumbered"].as_i64(), stage.number(foreign).await), (Some(100), 0));
        // Transactions behind the one that has numbered them.
        Numbered { rows: 4, keys: 4 }.insert(&stage).await;
        stage.once().await;
        assert_eq!(stage.length("events.order").await, expected, "{to}");
        let check = stage.asked(&["check"]).await;
        assert!(!check.stdout.contains("outflow position set"), "{check:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words() {
    let stage = delivered().await;
    let now = &["position", "set", "--outbox", "orders", "--now"][..];
    let refused = async |args: &[&str], words: &[&str]| {
        let asked = stage.asked(args).await;
        assert!(asked.code.is_some_and(|code| code != 0), "{args:?}: {asked:?}");
        for words in words {
            assert!(asked.stderr.contains(words), "{args:?} lacks {words:?}: {asked:?}");
        }
    };
    refused(&["position", "set", "--outbox", "order", "--now"], &["\"order\"", "orders"]).await;
    refused(&["position", "set", "--outbox", "orders"], &["--now", "--beginning"]).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    let process = relay.pid().to_string();
    refused(now, &["at work", &process, "stop them"]).await;
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    let journal = show(&stage).await["journal"]["key"].as_str().expect("a key").to_owned();
    stage.command("HSET", &[&journal, "server", "system 1, timeline 00000001"]).await;
    refused(now, &["another Postgres", "system 1", "--take-over"]).await;
    let moved = set(&stage, &["--now", "--take-over"]).await;
    assert!(moved["generation"].as_i64() > Some(1), "{moved}");
    stage.command("DEL", &[&journal]).await;
    stage.sql("delete from outflow.position").await;
    refused(&["position", "set", "--outbox", "orders", "--copy"], &["no copy"]).await;
    stage.configure(&outbox(""));
    refused(now, &["deletes its rows"]).await;
}
