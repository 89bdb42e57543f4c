//! `outflow migrate`: any number of times, from several at once, printed or run; it never touches
//! what is there.

use std::process::Command;

use outflow::operate::migrate::VERSION;

use crate::support::{LIMIT, Stage, outbox};

/// Everything that migrate makes, as the catalog shows it.
const MADE: &str = "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
    where n.nspname = 'outflow'";

#[tokio::test]
async fn it_can_be_run_again_and_by_many_at_once() {
    let stage = Stage::bare(&outbox("")).await;
    let mut replicas: Vec<_> =
        (0..6).map(|n| stage.outflow(&format!("migrate-{n}"), &["migrate"])).collect();
    for replica in &mut replicas {
        let status = replica.wait(LIMIT).await.expect("an end");
        assert!(status.success(), "{}", replica.log());
    }
    let made = stage.number(MADE).await;
    let journal =
        "select ('x' || substr(md5(journal::text), 1, 15))::bit(60)::bigint from outflow.outbox";
    let before = stage.number(journal).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('a', \
            'b', 'c', '{}')",
        )
        .await;
    stage.migrate().await;
    assert_eq!(stage.number(MADE).await, made);
    assert_eq!(stage.number(journal).await, before, "the journal keeps its name");
    assert_eq!(stage.number("select count(*) from outbox").await, 1, "rows are not touched");
    assert_eq!(
        stage.number("select count(*) from pg_trigger where tgname = 'outflow_wake'").await,
        1
    );
}

/// Earlier versions made it fire after the insert, which costs a writer more. It is replaced once,
/// not at each start.
#[tokio::test]
async fn a_trigger_of_an_earlier_version_is_replaced() {
    let stage = Stage::new(&outbox("")).await;
    let before =
        "select count(*) from pg_trigger where tgname = 'outflow_wake' and tgtype & 2 <> 0";
    stage
        .sql(
            "create or replace trigger outflow_wake after insert on outbox for each statement \
            execute function outflow.wake()",
        )
        .await;
    assert_eq!(stage.number(before).await, 0);
    stage.migrate().await;
    assert_eq!(stage.number(before).await, 1);
    let row = "select xmin::text::bigint from pg_trigger where tgname = 'outflow_wake'";
    let replaced = stage.number(row).await;
    stage.migrate().await;
    assert_eq!(stage.number(row).await, replaced, "it is left alone");
}

/// What is printed does the same when a DBA runs it.
#[tokio::test]
async fn the_printed_script_is_the_one_that_runs() {
    let stage = Stage::bare(&outbox("")).await;
    let (code, script) = stage.finished("print", &["migrate", "--print"]).await;
    assert_eq!(code, Some(0), "{script}");
    assert_eq!(
        stage.number("select count(*) from pg_namespace where nspname = 'outflow'").await,
        0,
        "nothing is run"
    );
    let file = stage.path().join("script.sql");
    std::fs::write(&file, script).expect("a file");
    for _ in 0..2 {
        let psql = Command::new("psql")
            .args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", "--file"])
            .arg(&file)
            .arg(stage.postgres.url())
            .output()
            .expect("psql");
        assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
    }
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('a', \
            'b', 'c', '{}')",
        )
        .await;
    stage.once().await;
    assert_eq!(stage.length("events.a").await, 1);
}

#[tokio::test]
async fn a_foreign_table_gets_its_trigger_only_when_asked() {
    let stage = Stage::bare(&outbox("").replace("public.outbox", "public.mine")).await;
    let (code, log) = stage.finished("early", &["migrate"]).await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("mine"), "{log}");
    stage.sql("create table mine (id bigint primary key)").await;
    let triggers = "select count(*) from pg_trigger where tgname = 'outflow_wake'";
    for (args, expected) in [(&["migrate"][..], 0), (&["migrate", "--triggers"][..], 1)] {
        let (code, log) = stage.finished("migrate", args).await;
        assert_eq!(code, Some(0), "{log}");
        assert_eq!(stage.number(triggers).await, expected);
    }
}

/// Dropped and made again, a table is another one: it is registered anew, with a journal of its
/// own, and a relay that has run all the time goes on with it.
#[tokio::test]
async fn a_table_that_was_made_again_is_registered_anew() {
    let stage = Stage::new(&outbox("poll_interval = \"50ms\"")).await;
    let journal =
        "select ('x' || substr(md5(journal::text), 1, 15))::bit(60)::bigint from outflow.outbox";
    let before = stage.number(journal).await;
    let mut relay = stage.relay();
    let insert = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
        ('a', 'b', 'c', '{}')";
    stage.sql(insert).await;
    stage.drained().await;
    stage.sql("drop table outbox").await;
    stage.not_ready("there is no table").await;
    stage.migrate().await;
    assert_eq!(stage.number("select count(*) from outflow.outbox").await, 1, "the old one is gone");
    assert!(stage.number(journal).await != before, "another table, another journal");
    stage.sql(insert).await;
    stage.drained().await;
    assert_eq!(stage.length("events.a").await, 2);
    assert!(relay.exit_status().is_none(), "{}", relay.log_tail());
}

/// A name can have one table only: whose it is and what to do is said, whichever way it came about.
#[tokio::test]
async fn a_name_that_another_table_has_is_told_apart() {
    let stage = Stage::new(&outbox("")).await;
    let swap = "begin; alter table outbox rename to \"old one\"; create table outbox (like \"old \
        one\" including all); commit";
    stage.sql(swap).await;
    let (code, log) = stage.finished("taken", &["migrate"]).await;
    assert_eq!(code, Some(1), "{log}");
    for words in [
        "outbox orders: the name is taken by the table public.\"old one\"",
        "[[outbox]] of its own",
        "delete from",
    ] {
        assert!(log.contains(words), "{words:?} is not in {log}");
    }
    assert!(!log.contains("duplicate key"), "{log}");
    // What it says to do: the old table as an outbox of its own, whichever comes first.
    let old = outbox("")
        .replace("public.outbox", "public.\\\"old one\\\"")
        .replace("\"orders\"", "\"old\"");
    stage.configure(&format!("{}\n{old}", outbox("")));
    stage.migrate().await;
    // And two that change their names with each other.
    stage.configure(
        &format!("{}\n{old}", outbox(""))
            .replace("orders", "x")
            .replace("\"old\"", "\"orders\"")
            .replace("\"x\"", "\"old\""),
    );
    stage.migrate().await;
    let named = "select count(*) from outflow.outbox where (name, relation::text) in (('orders', \
        '\"old one\"'), ('old', 'outbox'))";
    assert_eq!(stage.number(named).await, 2);
}

/// What is no table is called what it is, and nothing of it is registered.
#[tokio::test]
async fn what_is_no_table_is_refused_by_its_kind() {
    let stage = Stage::bare(&outbox("")).await;
    let cases = [
        ("create view outbox as select 1 as id", "a view", "drop view outbox"),
        (
            "create materialized view outbox as select 1 as id",
            "a materialized view",
            "drop materialized view outbox",
        ),
        ("create sequence outbox", "a sequence", "drop sequence outbox"),
        ("create type outbox as (id integer)", "a composite type", "drop type outbox"),
    ];
    for (make, kind, drop) in cases {
        stage.sql(make).await;
        for args in [&["migrate"][..], &["migrate", "--triggers"]] {
            let asked = stage.asked(args).await;
            assert_eq!(asked.code, Some(1), "{make}: {asked:?}");
            assert!(
                asked.stderr.contains(&format!("public.outbox is {kind}, not a table")),
                "{make}: {asked:?}"
            );
        }
        stage.sql(drop).await;
    }
    stage.migrate().await;
}

/// From version 6: what was written in the audit before was done from the command line, and an
/// older program may still write there.
#[tokio::test]
async fn from_version_six_the_audit_says_from_where() {
    let stage = Stage::new(&outbox("")).await;
    let insert = "insert into outflow.audit (action, outbox, letters, filter, os_user, host) \
        values ('pause', 'orders', 0, '{}', 'ada', 'here');";
    stage
        .sql(&format!(
            "alter table outflow.audit drop column via, drop column operator; delete from \
             outflow.migration where version >= 7; {insert}"
        ))
        .await;
    let old = stage.asked(&["pause", "--why", "x"]).await;
    assert!(old.code == Some(78) && old.stderr.contains("outflow migrate"), "{old:?}");
    assert_eq!(stage.number("select count(*) from outflow.pause").await, 0, "nothing was done");
    stage.migrate().await;
    stage.sql(insert).await;
    stage.asked(&["pause", "--why", "x"]).await.data();
    let from = "select count(*) from outflow.audit where via = 'command line' and operator is null";
    assert_eq!(stage.number(from).await, 3);
    let applied = "select max(version) from outflow.migration";
    assert_eq!(stage.number(applied).await, i64::from(VERSION));
}
