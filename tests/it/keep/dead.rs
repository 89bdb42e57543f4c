//! Dead letters of a kept outbox: each once. Its row stays, and nobody sends it again.

use std::collections::BTreeMap;

use outflow_local::eventually;

use super::healing::{put_back, snapshot};
use super::kept_with;
use crate::support::{LIMIT, Stage, check_numbered};

const SMALL: &str = "event_bytes_max = \"300B\"";

pub(super) fn event(kind: &str, key: &str, n: i64, pad: usize) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('{kind}', \
            '{key}', 'T', json_build_object('key', '{key}', 'n', {n}, 'pad', repeat('x', {pad})));"
    )
}

pub(super) fn plain(more: &str) -> String {
    kept_with(&format!("{more}\n[outbox.keep]\nlayout = \"plain\""))
}

/// `reason × count` of the letters that count, and the letters in the table.
pub(super) async fn letters(stage: &Stage) -> (BTreeMap<String, i64>, i64) {
    let listed = stage.asked(&["dead", "list", "--json"]).await.json();
    let mut reasons = BTreeMap::new();
    for letter in &listed {
        *reasons.entry(letter["reason"].as_str().expect("a reason").to_owned()).or_default() += 1;
    }
    let status = stage.asked(&["status", "--json"]).await.json();
    let dead = status[0]["outboxes"][0]["dead_letters"].as_array().expect("letters").clone();
    let shown: BTreeMap<String, i64> = dead
        .iter()
        .map(|dead| {
            let reason = dead["reason"].as_str().expect("a reason").to_owned();
            (reason, dead["letters"].as_i64().expect("a number"))
        })
        .collect();
    assert_eq!(shown, reasons, "status and list");
    (reasons, stage.number("select count(*) from outflow.dead_letter").await)
}

pub(super) fn reasons(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
    of.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

#[tokio::test]
async fn each_dead_row_has_one_letter_and_the_others_are_delivered_once() {
    let stage = Stage::new(&plain("batch_rows = 10\nevent_bytes_max = \"8KiB\"")).await;
    stage
        .sql(
            "alter table outbox alter column event_type drop not null; \
             alter table outbox alter column payload set storage external",
        )
        .await;
    for n in 1..=60 {
        let bad = match n {
            5 => event("", "nowhere", 1, 0),
            15 => event("order", "large", 1, 20_000),
            // Behind the others: what follows is in the same batch.
            16 => event("", "nowhere", 2, 0),
            30 => "insert into outbox (aggregate_type, aggregate_id, payload) values ('order', \
                'type', '{}');"
                .to_owned(),
            45 => event("order", "toast", 1, 9_000),
            _ => String::new(),
        };
        stage.sql(&[event("order", "k", n, 0), bad].concat()).await;
    }
    let toast = "set allow_system_table_mods = on; \
         do $$ declare toast regclass := (select reltoastrelid from pg_class where oid = \
         'outbox'::regclass); begin \
           update pg_class set relkind = 'r' where oid = toast; \
           execute format('delete from %s where chunk_id = (select max(chunk_id) from %s)', \
             toast, toast); \
           update pg_class set relkind = 't' where oid = toast; end $$";
    stage.sql(toast).await;
    stage.sql("vacuum outbox").await;
    let expected =
        reasons(&[("no_stream", 2), ("null_column", 1), ("too_large", 1), ("unreadable", 1)]);
    for run in 1..=2 {
        stage.once().await;
        assert_eq!(letters(&stage).await, (expected.clone(), 5), "run {run}");
        let counted = check_numbered(&stage.entries("events.order").await);
        assert_eq!(counted, BTreeMap::from([("k".to_owned(), 60)]), "run {run}");
    }
    assert_eq!(stage.number("select count(*) from outbox").await, 65);
}

#[tokio::test]
async fn a_stream_that_is_given_up_has_letters_and_is_delivered_by_a_retry() {
    let given_up = "batch_rows = 10\npoll_interval = \"50ms\"\npark_max = \"1500ms\"";
    let stage = Stage::new(&kept_with(given_up)).await;
    stage.command("SET", &["events.bad", "not a stream"]).await;
    let mut relay = stage.relay();
    for n in 1..=15 {
        stage.sql(&[event("good", "g", n, 0), event("bad", "b", n, 0)].concat()).await;
    }
    stage.reaches("events.good", 15).await;
    let client = stage.client().await;
    let count = "select count(*) from outflow.dead_letter where pending is null and stream = \
        'events.bad' and reason = 'refused'";
    eventually(LIMIT, "letters", async || {
        client.query_one(count, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 15)
    })
    .await
    .expect("letters");
    relay.terminate();
    relay.wait(LIMIT).await.expect("an end");
    stage.command("DEL", &["events.bad"]).await;
    stage.once().await;
    assert_eq!(stage.length("events.bad").await, 0);
    assert_eq!(letters(&stage).await, (reasons(&[("refused", 15)]), 15));
    let retried = stage.asked(&["dead", "retry", "--reason", "refused", "--yes"]).await.data();
    assert!(retried.contains("15 retried"), "{retried}");
    for _ in 0..2 {
        stage.once().await;
        let counted = check_numbered(&stage.entries("events.bad").await);
        assert_eq!(counted["b"], 15);
    }
    assert_eq!(check_numbered(&stage.entries("events.good").await)["g"], 15);
    assert_eq!(letters(&stage).await, (reasons(&[]), 15));
}

/// As a relay leaves them that is killed between a letter and its append, or behind it.
#[tokio::test]
async fn letters_in_doubt_are_settled_by_the_next_relay() {
    let stage = Stage::new(&kept_with("")).await;
    stage.sql(&[event("order", "k", 1, 0), event("order", "k", 2, 0)].concat()).await;
    stage.once().await;
    stage.sql(&event("order", "k", 3, 0)).await;
    let pending = "insert into outflow.dead_letter (outbox, \"row\", event_id, type, payload, \
        reason, kept, xid, pending) \
        select 'orders', id::text, event_id::text, event_type, ''::bytea, 'too_large', id, \
        xid::text, (hashtextextended(aggregate_id, 0) & 63)::text \
        from outbox where payload ->> 'n' in ('1', '3')";
    stage.sql(pending).await;
    assert_eq!(letters(&stage).await, (reasons(&[]), 2));
    stage.once().await;
    assert_eq!(letters(&stage).await, (reasons(&[("too_large", 1)]), 1));
    let row = "select (select \"row\"::bigint from outflow.dead_letter) - min(id) from outbox";
    assert_eq!(stage.number(row).await, 0, "the letter of the row that was read");
    assert_eq!(check_numbered(&stage.entries("events.order").await)["k"], 3);
}

/// Two dead rows among others.
async fn two_dead(configuration: &str) -> Stage {
    let stage = Stage::new(configuration).await;
    let rows = (1..=3).map(|n| event("order", "k", n, 0));
    let dead = (1..=2).map(|n| event("order", "dead", n, 400));
    stage.sql(&rows.chain(dead).collect::<String>()).await;
    stage
}

async fn audited(stage: &Stage, action: &str) -> i64 {
    stage
        .number(&format!(
            "select sum(letters)::bigint from outflow.audit where action = '{action}'"
        ))
        .await
}

/// The row stays beside the new one, unless a unique index is in the way: then it makes room.
#[tokio::test]
async fn a_retry_delivers_once_and_a_discard_never() {
    for (unique, rows) in [("", 6), ("create unique index on outbox (event_id)", 5)] {
        let stage = two_dead(&plain(SMALL)).await;
        if !unique.is_empty() {
            stage.sql(unique).await;
        }
        stage.once().await;
        assert_eq!(letters(&stage).await, (reasons(&[("too_large", 2)]), 2), "{unique}");
        stage.configure(&plain(""));
        let first = "select min(id) from outflow.dead_letter";
        let first = stage.number(first).await.to_string();
        stage.asked(&["dead", "retry", "--yes", &first]).await.data();
        assert_eq!(stage.number("select count(*) from outbox").await, rows, "{unique}");
        stage.asked(&["dead", "discard", "--yes", "--all"]).await.data();
        assert_eq!(stage.number("select count(*) from outbox").await, rows, "{unique}");
        let shown = stage.asked(&["dead", "show", &first]).await;
        assert_eq!(shown.code, Some(1), "{shown:?}");
        let again = stage.asked(&["dead", "retry", "--yes"]).await.data();
        assert!(again.contains("0 retried"), "{again}");
        for _ in 0..2 {
            stage.once().await;
            let counted = check_numbered(&stage.entries("events.order").await);
            let expected = [("dead".to_owned(), 1), ("k".to_owned(), 3)];
            assert_eq!(counted, BTreeMap::from(expected), "{unique}");
            assert_eq!(letters(&stage).await, (reasons(&[]), 2), "{unique}");
        }
        assert_eq!(audited(&stage, "retry dead letters").await, 1);
        assert_eq!(audited(&stage, "discard dead letters").await, 1);
    }
}

#[tokio::test]
async fn a_dead_row_is_not_sent_when_events_are_sent_again() {
    let mut stage = two_dead(&kept_with(SMALL)).await;
    stage.sql(&event("order", "dead", 3, 400)).await;
    // What an older Redis has of this: a journal that has passed nothing yet.
    let first = event("other", "x", 1, 0);
    let empty = "create table saved as select * from outbox; delete from outbox";
    stage.sql(&[empty, ";", first.as_str()].concat()).await;
    stage.once().await;
    let old = snapshot(&mut stage, "old").await;
    stage
        .sql(
            "insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload) \
             select event_id, aggregate_type, aggregate_id, event_type, payload from saved \
             order by id",
        )
        .await;
    stage.once().await;
    assert_eq!(letters(&stage).await, (reasons(&[("too_large", 3)]), 3));
    // With room for all: what is not sent again is not sent for its letter.
    stage.configure(&kept_with(""));
    let lowest = stage.number("select min(id) from outflow.dead_letter").await;
    let (retried, discarded) = (lowest.to_string(), (lowest + 1).to_string());
    stage.asked(&["dead", "retry", "--yes", &retried]).await.data();
    stage.asked(&["dead", "discard", "--yes", &discarded]).await.data();
    stage.once().await;
    let expected = BTreeMap::from([("dead".to_owned(), 1), ("k".to_owned(), 3)]);
    assert_eq!(check_numbered(&stage.entries("events.order").await), expected);
    put_back(&mut stage, &old).await;
    assert_eq!(stage.length("events.order").await, 0);
    stage.once().await;
    assert_eq!(check_numbered(&stage.entries("events.order").await), expected);
    assert_eq!(stage.length("events.other").await, 1);
    assert_eq!(letters(&stage).await, (reasons(&[("too_large", 1)]), 3));
}
