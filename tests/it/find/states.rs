//! Each state of an event whose row is deleted once it was sent.

use outflow_local::eventually;
use serde_json::{Value, json};

use super::{TRACE, asked, entry_id, event, found, id, insert, text};
use crate::support::{LIMIT, Stage, outbox};

#[tokio::test]
async fn an_event_waits_and_it_says_behind_what() {
    let stage = Stage::new(&outbox("")).await;
    for (number, kind, key) in [(1, "order", "a"), (2, "order", "b"), (3, "bill", "a")] {
        insert(&stage, number, kind, key, "{}").await;
    }
    insert(&stage, 4, "order", "a", "{}").await;
    let waiting = event(&stage, 4).await;
    assert_eq!(waiting["state"], "waiting", "{waiting}");
    assert_eq!(waiting["outboxes"], json!(["orders"]));
    assert_eq!(
        (&waiting["key"], &waiting["type"], &waiting["trace_id"]),
        (&"a".into(), &"T4".into(), &TRACE.into())
    );
    let row = &waiting["rows"][0];
    assert_eq!((&row["row"], &row["stream"]), (&"4".into(), &"events.order".into()), "{row}");
    let behind = &row["behind"];
    let counts = [&behind["rows"], &behind["of_key"], &behind["of_stream"]];
    assert_eq!(counts, [&Value::from(3), &Value::from(2), &Value::from(2)], "{behind}");
    assert_eq!(behind["causes"], json!(["no relay is at work"]), "{behind}");
    let said = text(&stage, &["--event-id", &id(4)]).await;
    for words in [
        "waiting: in the table, not sent",
        "3 rows, 2 of them of its key and 2 of its stream",
        "no relay is at work",
        "public.outbox: all rows",
        "events.order: all 0 entries",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }

    let pause = ["pause", "--stream", "events.order", "--why", "the shop is closed"];
    stage.asked(&pause).await.data();
    let causes = event(&stage, 4).await["rows"][0]["behind"]["causes"].to_string();
    assert!(causes.contains("stream events.order is paused since"), "{causes}");
    assert!(causes.contains("the shop is closed"), "{causes}");
    let causes = event(&stage, 3).await["rows"][0]["behind"]["causes"].to_string();
    assert!(!causes.contains("paused"), "it is of another stream: {causes}");
}

#[tokio::test]
async fn a_parked_stream_is_the_cause() {
    let stage = Stage::new(&outbox("")).await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    let _relay = stage.relay();
    insert(&stage, 1, "bad", "a", "{}").await;
    let causes = eventually(LIMIT, "the cause", async || {
        let causes = event(&stage, 1).await["rows"][0]["behind"]["causes"].clone();
        causes.to_string().contains("is parked since").then_some(causes)
    });
    let causes = causes.await.expect("a cause");
    let first = causes[0].as_str().expect("a text");
    assert!(first.starts_with("stream events.bad is parked since"), "{causes}");
    assert!(first.contains("WRONGTYPE") && first.contains("next attempt at"), "{causes}");
    let look = found(&stage, &["--event-id", &id(1)]).await["streams"].clone();
    assert!(look[0]["problem"].as_str().is_some_and(|why| why.contains("WRONGTYPE")), "{look}");
}

#[tokio::test]
async fn a_sent_event_says_what_each_group_has_done_with_it() {
    const STREAM: &str = "events.order";
    let stage = Stage::new(&outbox("")).await;
    for number in 1..=3 {
        insert(&stage, number, "order", "a", "{}").await;
    }
    stage.once().await;
    for (group, from) in [("reads", "0"), ("late", "$"), ("idle", "0"), ("gave-up", "0")] {
        stage.command("XGROUP", &["CREATE", STREAM, group, from]).await;
    }
    let second = entry_id(&stage, STREAM, 2).await;
    for group in ["reads", "gave-up"] {
        let read = ["GROUP", group, "one", "COUNT", "2", "STREAMS", STREAM, ">"];
        stage.command("XREADGROUP", &read).await;
    }
    let first = entry_id(&stage, STREAM, 1).await;
    stage.command("XACK", &[STREAM, "reads", &first]).await;
    stage.command("XCLAIM", &[STREAM, "reads", "two", "0", &second]).await;
    // As the library does it.
    stage.command("XACK", &[STREAM, "gave-up", &second]).await;
    let id_of_second = id(2);
    let dead = [
        "events.order.dead",
        "*",
        "id",
        &id_of_second,
        "key",
        "a",
        "dead_stream",
        STREAM,
        "dead_entry_id",
        &second,
        "dead_group",
        "gave-up",
        "dead_attempts",
        "5",
        "dead_error",
        "no such product",
    ];
    stage.command("XADD", &dead).await;

    let sent = event(&stage, 2).await;
    assert_eq!((&sent["state"], &sent["rows"]), (&"sent".into(), &json!([])), "{sent}");
    let entry = &sent["entries"][0];
    assert_eq!((&entry["id"], &entry["stream"]), (&second.as_str().into(), &STREAM.into()));
    assert_eq!(entry["problems"], json!([]));
    let group = |name: &str| {
        let groups = entry["groups"].as_array().expect("groups");
        groups.iter().find(|group| group["group"] == name).expect(name).clone()
    };
    let pending = group("reads");
    assert_eq!(
        (&pending["state"], &pending["consumer"], &pending["deliveries"]),
        (&"pending".into(), &"two".into(), &2.into())
    );
    assert!(pending["idle_ms"].as_i64().is_some_and(|ms| ms >= 0), "{pending}");
    assert_eq!(group("late")["state"], "not_pending");
    assert_eq!(group("idle")["state"], "not_delivered");
    let dead = group("gave-up");
    assert_eq!(
        (&dead["state"], &dead["attempts"], &dead["error"]),
        (&"dead".into(), &5.into(), &"no such product".into())
    );
    let said = text(&stage, &["--event-id", &id(2)]).await;
    for words in [
        "reads: pending at consumer two for ",
        "delivered 2 times",
        "late: not pending: acknowledged, or the group began behind it",
        "idle: not delivered yet",
        "gave-up: given up after 5 attempts: no such product",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    let first = event(&stage, 1).await;
    let groups = first["entries"][0]["groups"].to_string();
    assert!(groups.contains("{\"group\":\"reads\",\"state\":\"not_pending\"}"), "{groups}");

    // The entry is gone, the dead letter tells of it.
    stage.command("XDEL", &[STREAM, &second]).await;
    let gone = event(&stage, 2).await;
    assert_eq!((&gone["state"], &gone["entries"]), (&"sent".into(), &json!([])), "{gone}");
    let letter = &gone["consumer_dead_letters"][0];
    assert_eq!(
        (&letter["entry_id"], &letter["group"]),
        (&second.as_str().into(), &"gave-up".into())
    );
}

#[tokio::test]
async fn a_dead_letter_of_the_relay_is_found_by_id_key_and_trace() {
    let stage = Stage::new(&outbox("event_bytes_max = \"300B\"")).await;
    insert(&stage, 1, "order", "a", &format!("\"{}\"", "x".repeat(400))).await;
    insert(&stage, 2, "order", "b", "{}").await;
    stage.once().await;
    let id = id(1);
    for args in [["--event-id", &id], ["--key", "a"]] {
        let found = found(&stage, &args).await;
        let dead = &found["events"][0];
        assert_eq!((&dead["state"], &dead["event_id"]), (&"dead".into(), &id.as_str().into()));
        let letter = &dead["dead_letters"][0];
        assert_eq!(
            (&letter["id"], &letter["reason"], &letter["stream"]),
            (&1.into(), &"too_large".into(), &"events.order".into()),
            "{letter}"
        );
    }
    let traced = found(&stage, &["--trace", TRACE]).await;
    let states: Vec<&str> = traced["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|event| event["state"].as_str().expect("a state"))
        .collect();
    assert!(states.contains(&"dead") && states.contains(&"sent"), "{traced}");
    let said = text(&stage, &["--key", "a"]).await;
    assert!(said.contains("dead: a dead letter of the relay"), "{said}");
    assert!(said.contains("#1 since ") && said.contains("too_large"), "{said}");
}

#[tokio::test]
async fn nothing_found_is_told_apart_and_says_what_was_looked_at() {
    let stage = Stage::new(&outbox("")).await;
    insert(&stage, 1, "order", "a", "{}").await;
    let nothing = asked(&stage, &["--event-id", &id(9)]).await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stdout.contains("public.outbox: all rows"), "{nothing:?}");
    assert!(nothing.stderr.contains("everything was looked at"), "{nothing:?}");
    for (args, words) in [
        (&["--event-id", "17"][..], "\"17\" is no uuid, the type of the column \"event_id\""),
        (&["--key", "a", "--outbox", "other"], "which has orders"),
    ] {
        let bad = asked(&stage, args).await;
        assert_eq!(bad.code, Some(78), "{bad:?}");
        assert!(bad.stderr.contains(words), "{bad:?}");
    }
    for args in [
        &["--event-id", ""][..],
        &["--trace", "xyz"],
        &["--key", "a", "--event-id", "b"],
        &["--limit", "0", "--key", "a"],
        &[],
    ] {
        let wrong = asked(&stage, args).await;
        assert_eq!(wrong.code, Some(2), "{args:?}: {wrong:?}");
    }
}

/// Keys, types and errors come from whoever may write events.
#[tokio::test]
async fn hostile_values_are_escaped_and_quoted() {
    let stage = Stage::new(&outbox("")).await;
    let key = "it's \"x\"; drop table outbox; -- \u{1b}[2J\u{202e}\n";
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        values ('o''rder', $1, $1, '{}')";
    stage.client().await.execute(insert, &[&key]).await.expect("a row");
    for sent in [false, true] {
        if sent {
            stage.once().await;
        }
        let found = found(&stage, &["--key", key]).await;
        assert_eq!(found["events"][0]["key"], key, "{found}");
        assert_eq!(found["events"][0]["state"], if sent { "sent" } else { "waiting" });
        let said = text(&stage, &["--key", key]).await;
        assert!(said.contains("\\u{1b}[2J\\u{202e}\\n"), "{said}");
        assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said}");
    }
    let nothing = asked(&stage, &["--key", "\u{1b}[2J"]).await;
    assert!(nothing.code == Some(1) && !nothing.stderr.contains('\u{1b}'), "{nothing:?}");
}
