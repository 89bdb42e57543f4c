//! Each state of an event whose row is kept.

use serde_json::json;

use super::{asked, entry_id, event, found, id, insert, text};
use crate::support::{Stage, outbox};

fn kept(more: &str) -> String {
    outbox(&format!("settle = \"keep\"\n{more}\n"))
}

#[tokio::test]
async fn a_kept_row_waits_is_sent_and_is_sent_without_its_entry() {
    let stage = Stage::new(&kept("")).await;
    for number in 1..=3 {
        insert(&stage, number, "order", "a", "{}").await;
    }
    let waiting = event(&stage, 3).await;
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    let behind = &waiting["rows"][0]["behind"];
    assert_eq!((&behind["rows"], &behind["of_key"]), (&2.into(), &2.into()), "{behind}");
    assert_eq!(behind["causes"], json!(["no relay is at work"]), "{behind}");
    stage.once().await;
    insert(&stage, 4, "order", "a", "{}").await;
    let sent = event(&stage, 3).await;
    assert_eq!((&sent["state"], &sent["rows"][0]["waits"]), (&"sent".into(), &false.into()));
    let entry = entry_id(&stage, "events.order", 3).await;
    assert_eq!(sent["entries"][0]["id"], entry, "{sent}");
    let behind = event(&stage, 4).await["rows"][0]["behind"].clone();
    assert_eq!((&behind["rows"], &behind["of_key"]), (&0.into(), &0.into()), "{behind}");
    let of_key = found(&stage, &["--key", "a"]).await;
    assert_eq!(of_key["events"].as_array().map(Vec::len), Some(4), "each once: {of_key}");

    stage.command("XDEL", &["events.order", &entry]).await;
    let gone = text(&stage, &["--event-id", &id(3)]).await;
    assert!(gone.contains("sent, but its entry was not found"), "{gone}");
    assert!(gone.contains("is kept"), "{gone}");
}

/// The copy in Postgres can be behind, as after a kill; the journal in Redis is not.
#[tokio::test]
async fn whether_a_kept_row_was_sent_is_told_by_the_journal() {
    let mut stage = Stage::new(&kept("")).await;
    insert(&stage, 1, "order", "a", "{}").await;
    stage.once().await;
    stage.sql("delete from outflow.position").await;
    stage.command("DEL", &["events.order"]).await;
    let sent = event(&stage, 1).await;
    assert_eq!((&sent["state"], &sent["rows"][0]["waits"]), (&"sent".into(), &false.into()));
    stage.redis.kill().await.expect("its end");
    let by_copy = asked(&stage, &["--event-id", &id(1)]).await;
    assert_eq!(by_copy.code, Some(69), "{by_copy:?}");
    assert!(by_copy.stdout.contains("told by the copy of the position"), "{by_copy:?}");
    assert!(by_copy.stdout.contains("waiting: in the table, not sent"), "{by_copy:?}");
}

#[tokio::test]
async fn a_dead_letter_of_a_kept_row_is_dead_until_it_is_retired() {
    let stage = Stage::new(&kept("event_bytes_max = \"300B\"")).await;
    insert(&stage, 1, "order", "a", &format!("\"{}\"", "x".repeat(400))).await;
    stage.once().await;
    let dead = event(&stage, 1).await;
    assert_eq!(dead["state"], "dead", "{dead}");
    assert_eq!(dead["dead_letters"][0]["reason"], "too_large", "{dead}");
    assert_eq!(dead["rows"][0]["waits"], false, "{dead}");
    stage.asked(&["dead", "discard", "--yes", "1"]).await.data();
    let retired = event(&stage, 1).await;
    assert_eq!(retired["state"], "retired", "{retired}");
    let said = text(&stage, &["--event-id", &id(1)]).await;
    assert!(said.contains("somebody has retried or discarded"), "{said}");
}
