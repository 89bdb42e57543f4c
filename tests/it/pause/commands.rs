//! `outflow pause` and `outflow resume`: what they refuse, and what they say.

use crate::support::{Stage, outbox};

const LOG: &str = "[[outbox]]\nname = \"audit\"\ntable = \"public.audit_log\"\nstream = \
    \"audit\"\n";

async fn two() -> Stage {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("create table audit_log (like outbox including all)").await;
    stage.configure(&(outbox("") + LOG));
    stage.migrate().await;
    stage
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_the_known_ones_are_named() {
    let stage = two().await;
    stage.command("XADD", &["events.order", "*", "a", "b"]).await;
    let (long, longer) = ("x".repeat(501), format!("events.{}", "x".repeat(2_000)));
    let table: [(&[&str], i32, &str); 16] = [
        (&["pause"], 2, "--why <TEXT>"),
        (&["pause", "--why", ""], 2, "say why"),
        (&["pause", "--why", " \n\t "], 2, "say why"),
        (&["pause", "--why", &long], 2, "at most 500"),
        (&["pause", "--why", "x", "--for", "0s"], 2, "1s or more"),
        (&["pause", "--why", "x", "--for", "soon"], 2, "--for"),
        (&["pause", "--why", "x", "--for", "11y"], 2, "10 years or less"),
        (&["pause", "--why", "x", "--outbox", "order"], 78, "which has orders, audit"),
        (&["pause", "--why", "x", "--outbox", ""], 78, "which has orders, audit"),
        (&["resume", "--outbox", "order"], 78, "which has orders, audit"),
        (
            &["pause", "--why", "x", "--stream", "order"],
            78,
            "outbox \"orders\" writes events.{aggregate_type}, outbox \"audit\" writes audit; the \
                streams in Redis are events.order",
        ),
        (&["pause", "--why", "x", "--stream", ""], 78, "is not one that this configuration writes"),
        (&["pause", "--why", "x", "--stream", "audit", "--outbox", "orders"], 78, "writes events."),
        (&["resume", "--stream", "order"], 78, "is not one that this configuration writes"),
        (&["pause", "--why", "x", "--stream", &longer], 1, "at most 2000"),
        (&["resume"], 1, "nothing was resumed: orders, audit is not paused"),
    ];
    for (args, code, words) in table {
        let asked = stage.asked(args).await;
        assert_eq!(asked.code, Some(code), "{args:?}: {asked:?}");
        assert!(asked.stderr.contains(words), "{args:?}: {}", asked.stderr);
    }
    assert_eq!(stage.number("select count(*) from outflow.pause").await, 0);
    assert_eq!(stage.number("select count(*) from outflow.audit").await, 0);
}

/// One pause replaces another; a stream's and its outbox's are two; each leaves a trace.
#[tokio::test]
async fn pauses_are_replaced_told_apart_and_noted() {
    let stage = two().await;
    let first = stage.asked(&["pause", "--why", "first", "--json"]).await.json();
    assert_eq!(first.len(), 2, "every outbox");
    assert_eq!((&first[0]["outbox"], &first[0]["stream"]), (&"orders".into(), &().into()));
    assert_eq!((&first[1]["outbox"], &first[1]["until"]), (&"audit".into(), &().into()));
    let again = ["pause", "--outbox", "orders", "--why", "second", "--for", "1h", "--json"];
    let again = stage.asked(&again).await;
    assert!(again.stderr.contains("orders was paused before, since 20"), "{again:?}");
    assert!(again.stderr.contains(": first; this pause replaces it"), "{again:?}");
    let again = &again.json()[0];
    assert_eq!((&again["since"], &again["why"]), (&first[0]["since"], &"second".into()));
    assert!(again["until"].is_string(), "{again}");

    let unseen = stage.asked(&["pause", "--stream", "events.odrer", "--why", "slip"]).await;
    assert_eq!(unseen.code, Some(0), "{unseen:?}");
    assert!(unseen.stderr.contains("Redis has no stream events.odrer yet"), "{unseen:?}");
    assert!(unseen.stdout.contains("orders: stream events.odrer: paused since"), "{unseen:?}");
    let other = stage.asked(&["resume", "--stream", "events.order"]).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    for words in ["stream events.order of", "orders: stream events.odrer is paused since"] {
        assert!(other.stderr.contains(words), "{other:?}");
    }
    // A template that has changed meanwhile does not keep a stream from being resumed.
    stage.configure(&(outbox("").replace("events.", "other.") + LOG));
    stage.asked(&["resume", "--stream", "events.odrer"]).await.data();
    let resumed = stage.asked(&["resume", "--json"]).await.json();
    assert_eq!(resumed.len(), 2);
    assert_eq!(resumed[0]["why"], "second");
    let noted = "select count(*) from outflow.audit where action = 'pause' and filter ->> 'why' in \
        ('first', 'second', 'slip') or action = 'resume'";
    assert_eq!(stage.number(noted).await, 4 + 3);
    assert_eq!(stage.number("select count(*) from outflow.pause").await, 0);
}

/// Relays keep them in memory.
#[tokio::test]
async fn so_many_streams_can_be_paused_and_no_more() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(
            "insert into outflow.pause (relation, stream, why, os_user, host, until) select \
                relation, 'events.' || n, 'x', 'ada', 'here', case when n > 999 then \
                clock_timestamp() - interval '1 s' end from outflow.outbox, generate_series(1, \
                1200) n",
        )
        .await;
    stage.asked(&["pause", "--why", "the last one"]).await.data();
    let more = stage.asked(&["pause", "--stream", "events.order", "--why", "x"]).await;
    assert_eq!(more.code, Some(1), "{more:?}");
    assert!(more.stderr.contains("orders has 1000 pauses already"), "{more:?}");
    let left = "select count(*) from outflow.pause";
    assert_eq!(stage.number(left).await, 1_000, "those that were over are gone");
    stage.asked(&["pause", "--stream", "events.7", "--why", "replaced"]).await.data();
}

/// Without the table, relay, check and both commands say what to do; then it works.
#[tokio::test]
async fn an_older_schema_is_told_of() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("drop table outflow.pause").await;
    let (code, log) = stage.finished("once", &["run", "--once"]).await;
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("older version") && log.contains("outflow migrate"), "{log}");
    let check = stage.asked(&["check"]).await;
    assert_eq!(check.code, Some(78), "{check:?}");
    assert!(check.stdout.contains("older version"), "{check:?}");
    for args in [&["pause", "--why", "x"][..], &["resume"]] {
        let asked = stage.asked(args).await;
        assert_eq!(asked.code, Some(78), "{asked:?}");
        assert!(asked.stderr.contains("outflow migrate"), "{asked:?}");
    }
    stage.migrate().await;
    stage.once().await;
    stage.asked(&["pause", "--why", "x"]).await.data();
    stage
        .sql(
            "create role watcher login; grant usage on schema outflow to watcher; grant select \
        on outflow.outbox to watcher",
        )
        .await;
    let url = stage.postgres.url().replace("postgres@", "watcher@");
    let asked = stage.asked_with(&["resume"], &[("OUTFLOW_POSTGRES__URL", &url)]).await;
    assert_eq!(asked.code, Some(1), "{asked:?}");
    assert!(asked.stderr.contains("on outflow.pause to ROLE"), "{asked:?}");
}
