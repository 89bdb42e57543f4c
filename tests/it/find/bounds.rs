//! What is not looked at is said, and nothing found in a part is not nothing there.

use serde_json::json;

use super::{TRACE, asked, event, found, id, insert, text};
use crate::support::{Stage, outbox};

/// More entries than are looked at by themselves, behind the one of the event.
const LATER: &str = "for i = 1, 100001 do \
    redis.call('XADD', KEYS[1], '*', 'id', 'x' .. i, 'key', 'b') end";

#[tokio::test]
async fn a_search_ends_at_its_limit_and_since_looks_further() {
    let stage = Stage::new(&outbox("")).await;
    insert(&stage, 1, "order", "a", "{}").await;
    stage.once().await;
    stage.command("EVAL", &[LATER, "1", "events.order"]).await;
    let id = id(1);
    let nothing = asked(&stage, &["--event-id", &id]).await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("which is not all there is"), "{nothing:?}");
    assert!(nothing.stderr.contains("--since"), "{nothing:?}");
    let words = "events.order: the newest 100000 of 100002 entries, back to 20";
    assert!(nothing.stdout.contains(words), "{nothing:?}");
    let as_json = asked(&stage, &["--event-id", &id, "--json"]).await;
    let looked: serde_json::Value = serde_json::from_str(&as_json.stdout).expect("JSON");
    assert_eq!((&looked["is_complete"], &looked["events"]), (&false.into(), &json!([])));
    assert_eq!(looked["streams"][0]["looked_at"], 100_000, "{looked}");

    let found = found(&stage, &["--event-id", &id, "--since", "1d"]).await;
    assert_eq!(found["events"][0]["state"], "sent", "{found}");
    assert_eq!(found["streams"][0]["looked_at"], 100_002, "{found}");
    let later = asked(&stage, &["--event-id", &id, "--since", "2099-01-01T00:00:00Z"]).await;
    assert_eq!(later.code, Some(1), "{later:?}");
    assert!(later.stderr.contains("give an earlier time with --since"), "{later:?}");
}

#[tokio::test]
async fn a_key_has_its_newest_events_first_up_to_the_limit() {
    let stage = Stage::new(&outbox("")).await;
    for number in 1..=5 {
        insert(&stage, number, "order", if number == 3 { "b" } else { "a" }, "{}").await;
    }
    stage.once().await;
    insert(&stage, 6, "order", "a", "{}").await;
    let ids = async |args: &[&str]| {
        let found = found(&stage, args).await;
        let events = found["events"].as_array().expect("events").iter();
        let types: Vec<String> =
            events.map(|event| event["type"].as_str().expect("a type").to_owned()).collect();
        (types.join(" "), found["has_more"].as_bool().expect("a flag"))
    };
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let table: [(&[&str], &str, bool); 5] = [
        (&["--key", "a"], "T6 T5 T4 T2 T1", false),
        (&["--key", "a", "--limit", "5"], "T6 T5 T4 T2 T1", false),
        (&["--key", "a", "--limit", "2"], "T6 T5", true),
        (&["--trace", &traceparent], "T6 T5 T4 T3 T2 T1", false),
        (&["--trace", TRACE, "--limit", "1"], "T6", true),
    ];
    for (args, expected, more) in table {
        assert_eq!(ids(args).await, (expected.to_owned(), more), "{args:?}");
    }
    let said = text(&stage, &["--key", "a", "--limit", "2"]).await;
    assert!(said.contains("there are more events than are shown"), "{said}");
}

#[tokio::test]
async fn one_database_answers_for_itself_while_the_other_is_down() {
    let mut stage = Stage::new(&outbox("")).await;
    insert(&stage, 1, "order", "a", "{}").await;
    stage.once().await;
    insert(&stage, 2, "order", "a", "{}").await;
    stage.redis.kill().await.expect("its end");
    let rows = asked(&stage, &["--key", "a", "--json"]).await;
    assert_eq!(rows.code, Some(69), "{rows:?}");
    assert!(rows.stderr.contains("cannot ask Redis"), "{rows:?}");
    assert!(rows.stderr.contains("entries and consumer groups are unknown"), "{rows:?}");
    let known: serde_json::Value = serde_json::from_str(&rows.stdout).expect("JSON");
    assert_eq!(known["events"][0]["event_id"], id(2), "{known}");
    assert_eq!(
        (&known["events"][0]["state"], &known["is_complete"]),
        (&"waiting".into(), &false.into())
    );
    let nothing = asked(&stage, &["--event-id", &id(1)]).await;
    assert_eq!(nothing.code, Some(69), "it may be in Redis: {nothing:?}");

    stage.redis.start_again().await.expect("a start");
    insert(&stage, 3, "order", "a", "{}").await;
    stage.once().await;
    assert_eq!(event(&stage, 3).await["state"], "sent");
    stage.postgres.stop_fast().await.expect("its end");
    let entries = asked(&stage, &["--event-id", &id(3).to_uppercase(), "--json"]).await;
    assert_eq!(entries.code, Some(69), "{entries:?}");
    assert!(entries.stderr.contains("cannot ask Postgres"), "{entries:?}");
    let known: serde_json::Value = serde_json::from_str(&entries.stdout).expect("JSON");
    assert_eq!(known["events"][0]["state"], "sent", "{known}");
    assert_eq!(known["tables"], json!([]), "{known}");
}

/// What a user may not ask is named with the line that allows it.
#[tokio::test]
async fn a_missing_permission_is_named_with_its_line() {
    let stage = Stage::new(&outbox("")).await;
    insert(&stage, 1, "order", "a", "{}").await;
    stage.once().await;
    stage.command("XGROUP", &["CREATE", "events.order", "reads", "0"]).await;
    let rights = ["on", ">hunter2", "%R~events.*", "+@all", "-xrevrange", "-xpending"];
    stage.command("ACL", &[&["SETUSER", "viewer"], rights.as_slice()].concat()).await;
    let url = stage.redis.url().replace("redis://", "redis://viewer:hunter2@");
    let as_viewer = [("OUTFLOW_REDIS__URL", url.as_str())];
    let id = id(1);
    let args = ["find", "--event-id", &id];
    let asked = stage.asked_with(&args, &as_viewer).await;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(asked.stdout.contains("ACL SETUSER viewer +xrevrange"), "{asked:?}");
    stage.command("ACL", &["SETUSER", "viewer", "+xrevrange"]).await;
    let asked = stage.asked_with(&args, &as_viewer).await.data();
    assert!(asked.contains("ACL SETUSER viewer +xpending"), "{asked}");
    assert!(asked.contains("reads: not delivered yet"), "that is known all the same: {asked}");
}
