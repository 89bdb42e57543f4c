//! `outflow replay`: a consumer that is new is given what was sent before.

use nix::sys::signal::Signal;

use super::kept_with;
use crate::support::{LIMIT, Numbered, Stage};

#[tokio::test]
async fn a_new_stream_is_given_every_event_once_however_often_the_replay_is_killed() {
    let stage = Stage::new(&kept_with("batch_rows = 10\nbatch_bytes = \"2KiB\"")).await;
    let numbered = Numbered { rows: 2_000, keys: 13 };
    numbered.insert(&stage).await;
    stage.once().await;
    let args = ["replay", "--outbox", "orders", "--to", "again.{x}", "--rate", "2000"];
    for killed in 0..3 {
        let mut replay = stage.outflow(&format!("replay-{killed}"), &args);
        stage.reaches("again.{x}", 300 * (killed + 1)).await;
        replay.signal(Signal::SIGKILL);
        replay.wait(LIMIT).await.expect("an end");
    }
    let said = stage.asked(&args).await;
    assert!(said.stderr.contains("going on with a replay"), "{}", said.stderr);
    said.data();
    numbered.check(&stage, "again.{x}").await;
    numbered.check(&stage, "events.order").await;
    let told = stage.asked(&[&args[..], &["--json"]].concat()).await.json();
    assert_eq!((told[0]["sent"].as_u64(), told[0]["resumed"].as_bool()), (Some(0), Some(true)));
    let noted = "select count(*) from outflow.audit where action = 'replay' and outbox = 'orders' \
        and filter @> '{\"to\": \"again.{x}\"}'";
    assert_eq!(stage.number(noted).await, 5, "each run that was to send");
}

#[tokio::test]
async fn filters_choose_and_what_was_not_delivered_is_not_sent() {
    let stage = Stage::new(&kept_with("")).await;
    let insert = |kind: &str, key: &str, at: &str| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, created_at) \
             values ('{kind}', '{key}', 'T{kind}', '{{}}', '{at}')"
        )
    };
    for (kind, key, at) in [
        ("order", "a", "2020-01-01Z"),
        ("order", "b", "2020-01-02Z"),
        ("stock", "a", "2020-01-03Z"),
        ("stock", "b", "2020-01-04Z"),
    ] {
        stage.sql(&insert(kind, key, at)).await;
    }
    stage.once().await;
    // Nobody has delivered this one.
    stage.sql(&insert("order", "a", "2020-01-05Z")).await;
    let table: [(&[&str], u64); 8] = [
        (&[], 4),
        (&["--key", "a"], 2),
        (&["--stream", "events.stock"], 2),
        (&["--type", "Torder"], 2),
        (&["--since", "2020-01-02T00:00:00Z"], 3),
        (&["--until", "2020-01-02T00:00:00Z"], 1),
        (&["--from-id", "3"], 2),
        (&["--key", "a", "--type", "Tstock"], 1),
    ];
    for (number, (more, expected)) in table.into_iter().enumerate() {
        let to = format!("to-{number}");
        let args = [&["replay", "--outbox", "orders", "--json", "--to", &to], more].concat();
        let would = stage.asked(&[&args[..], &["--dry-run"]].concat()).await.json();
        assert_eq!(would[0]["events"].as_u64(), Some(expected), "{more:?}");
        let sent = stage.asked(&args).await.json();
        assert_eq!(sent[0]["sent"].as_u64(), Some(expected), "{more:?}");
        assert_eq!(stage.length(&to).await, i64::try_from(expected).expect("a number"));
    }
    stage.asked(&["replay", "--outbox", "orders", "--again", "--key", "b"]).await.data();
    assert_eq!((stage.length("events.order").await, stage.length("events.stock").await), (3, 3));
    stage.once().await;
    assert_eq!(stage.length("events.order").await, 4, "the relay's own position is as it was");
}

#[tokio::test]
async fn a_bad_target_and_a_table_that_deletes_are_refused() {
    let stage = Stage::new(&kept_with("")).await;
    Numbered { rows: 3, keys: 1 }.insert(&stage).await;
    stage.once().await;
    stage.command("SET", &["taken", "1"]).await;
    let said = stage.asked(&["replay", "--outbox", "orders", "--to", "taken"]).await;
    assert_eq!(said.code, Some(78), "{}", said.stderr);
    assert!(said.stderr.contains("taken is a key of type string"), "{}", said.stderr);
    let said = stage.asked(&["replay", "--outbox", "other", "--to", "x"]).await;
    assert!(said.stderr.contains("which has orders"), "{}", said.stderr);
    let old = ["replay", "--outbox", "orders", "--since", "2001-01-01T00:00:00Z", "--to", "x"];
    let said = stage.asked(&old).await;
    assert!(said.stderr.contains("what came before is gone"), "{}", said.stderr);
    stage.configure(&crate::support::outbox(""));
    let said = stage.asked(&["replay", "--outbox", "orders", "--to", "x"]).await;
    assert_eq!(said.code, Some(78), "{}", said.stderr);
    assert!(said.stderr.contains("deletes its rows"), "{}", said.stderr);
}
