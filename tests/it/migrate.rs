//! `outflow migrate`: any number of times, from several at once, printed or run; it never touches what is there.

use std::process::Command;

use crate::support::{LIMIT, Stage, outbox};

/// Everything that migrate makes, as the catalog shows it.
const MADE: &str =
    "select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'outflow'";

#[tokio::test]
async fn it_can_be_run_again_and_by_many_at_once() {
    let stage = Stage::bare(&outbox("")).await;
    let mut replicas: Vec<_> = (0..6).map(|n| stage.outflow(&format!("migrate-{n}"), &["migrate"])).collect();
    for replica in &mut replicas {
        let status = replica.wait(LIMIT).await.expect("an end");
        assert!(status.success(), "{}", replica.log());
    }
    let made = stage.number(MADE).await;
    let journal = "select ('x' || substr(md5(journal::text), 1, 15))::bit(60)::bigint from outflow.outbox";
    let before = stage.number(journal).await;
    stage
        .sql("insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('a', 'b', 'c', '{}')")
        .await;
    stage.migrate().await;
    assert_eq!(stage.number(MADE).await, made);
    assert_eq!(stage.number(journal).await, before, "the journal keeps its name");
    assert_eq!(stage.number("select count(*) from outbox").await, 1, "rows are not touched");
    assert_eq!(stage.number("select count(*) from pg_trigger where tgname = 'outflow_wake'").await, 1);
}

/// Earlier versions made it fire after the insert, which costs a writer more. It is replaced once, not at each start.
#[tokio::test]
async fn a_trigger_of_an_earlier_version_is_replaced() {
    let stage = Stage::new(&outbox("")).await;
    let before = "select count(*) from pg_trigger where tgname = 'outflow_wake' and tgtype & 2 <> 0";
    stage
        .sql("create or replace trigger outflow_wake after insert on outbox for each statement execute function outflow.wake()")
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
    assert_eq!(stage.number("select count(*) from pg_namespace where nspname = 'outflow'").await, 0, "nothing is run");
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
        .sql("insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('a', 'b', 'c', '{}')")
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
