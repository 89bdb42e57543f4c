//! A migration that is killed in the middle leaves nothing behind, and one that somebody ran in
//! parts is completed.

use outflow::operate::migrate::VERSION;
use outflow_local::eventually;

use super::{CATALOG, SHAPE, dump, text};
use crate::support::{LIMIT, Stage, outbox};

const APPLIED: &str = "select max(version) from outflow.migration";
/// Sessions of `outflow migrate` that wait for a lock: in the middle of the script.
const WAITING: &str = "from pg_stat_activity where application_name = 'outflow migrate' and \
    wait_event_type = 'Lock'";

/// From version 1, stopped at the first table that it changes, in the middle, and at the last one.
#[tokio::test]
async fn one_that_is_killed_leaves_nothing_behind_and_the_next_one_completes_it() {
    let stage = dump(1, include_str!("schema-1.sql"), false).stage().await;
    let before = text(&stage, CATALOG).await;
    for table in ["outflow.outbox", "outflow.dead_letter", "public.outbox"] {
        // The process; and the server's session behind it.
        for kills_process in [true, false] {
            let holder = stage.client().await;
            let lock = format!("begin; lock table {table} in row exclusive mode");
            holder.batch_execute(&lock).await.expect("a lock");
            let mut migrate = stage.outflow("migrate", &["migrate"]);
            let is_waiting = format!("select count(*) {WAITING}");
            eventually(LIMIT, "the migration to wait", async || {
                stage.number(&is_waiting).await == 1
            })
            .await
            .expect("a wait");
            if kills_process {
                migrate.kill();
            } else {
                let end = format!("select count(pg_terminate_backend(pid)) {WAITING}");
                eventually(LIMIT, "the session to end", async || stage.number(&end).await == 1)
                    .await
                    .expect("its end");
                let status = migrate.wait(LIMIT).await.expect("an end");
                assert!(!status.success(), "{table}: {}", migrate.log());
            }
            // A server that got its lock now would finish the script, whoever is still there.
            let running = "select count(*) from pg_stat_activity where application_name like \
                'outflow migrate%'";
            eventually(LIMIT, "its sessions to end", async || stage.number(running).await == 0)
                .await
                .expect("their end");
            holder.batch_execute("rollback").await.expect("an unlock");
            assert_eq!(text(&stage, CATALOG).await, before, "{table}: something was left behind");
            assert_eq!(stage.number(APPLIED).await, 1);
        }
    }
    stage.migrate().await;
    assert_eq!(stage.number(APPLIED).await, i64::from(VERSION));
}

/// Somebody ran only the first steps of the printed script, each in a transaction of its own.
#[tokio::test]
async fn one_that_was_run_in_parts_is_completed() {
    let stage = Stage::new(&outbox("")).await;
    let expected = text(&stage, SHAPE).await;
    let script = stage.asked(&["migrate", "--print"]).await.data();
    let (_, steps) = script.split_once("set local lock_timeout = '1s';").expect("the steps");
    let starts: Vec<usize> = steps.match_indices("\n-- Version ").map(|(at, _)| at).collect();
    assert!(starts.len() >= 8, "{starts:?}");
    for start in starts {
        stage.sql("drop schema outflow cascade; drop table public.outbox").await;
        stage.sql(&steps[..start]).await;
        stage.migrate().await;
        assert_eq!(text(&stage, SHAPE).await, expected, "after {}", &steps[start..start + 60]);
        assert_eq!(stage.number(APPLIED).await, i64::from(VERSION));
    }
}
