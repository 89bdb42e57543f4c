//! Rows that stay are delivered once, in order, by however many members, whoever dies.

use std::sync::atomic::{AtomicBool, Ordering};

use outflow_local::Program;

use super::{LAYOUTS, kept_with};
use crate::support::{LIMIT, Numbered, Stage, check_numbered};

#[tokio::test]
async fn rows_are_delivered_once_and_stay() {
    for layout in LAYOUTS {
        let more = format!("batch_rows = 7\n[outbox.keep]\nlayout = \"{layout}\"");
        let stage = Stage::new(&kept_with(&more)).await;
        let numbered = Numbered { rows: 1_000, keys: 13 };
        numbered.insert(&stage).await;
        stage.once().await;
        numbered.check(&stage, "events.order").await;
        stage.once().await;
        numbered.check(&stage, "events.order").await;
        assert_eq!(stage.number("select count(*) from outbox").await, 1_000);
    }
}

/// Writers on a few hot keys, a part of the commits held open, some rolled back.
pub(super) async fn write(stage: &Stage, writers: u32, rounds: u32) {
    let failed = AtomicBool::new(false);
    let writer = async |number: u32| {
        let client = stage.client().await;
        if number.is_multiple_of(3) {
            client.batch_execute("set synchronous_commit = off").await.expect("a setting");
        }
        for round in 0..rounds {
            let key = (number * 7 + round * 13) % 30;
            let hold =
                if (number + round).is_multiple_of(10) { "select pg_sleep(0.02);" } else { "" };
            let end = if (number * 3 + round).is_multiple_of(17) { "rollback" } else { "commit" };
            let work = format!(
                "begin; with c as (update counter set n = n + 1 where key = 'k{key}' returning \
                    key, n) \
                 insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order', key, 'T', json_build_object('key', key, 'n', n) from c; {hold} \
                 {end}"
            );
            if client.batch_execute(&work).await.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        }
    };
    futures_util::future::join_all((0..writers).map(writer)).await;
    assert!(!failed.load(Ordering::Relaxed), "a writer failed");
}

pub(super) async fn counters(stage: &Stage) {
    stage
        .sql(
            "create table counter (key text primary key, n bigint not null); \
             insert into counter select 'k' || i, 0 from generate_series(0, 29) i",
        )
        .await;
}

/// Every event of the counters, once and in order.
pub(super) async fn check(stage: &Stage) {
    let expected = stage.number("select sum(n)::bigint from counter").await;
    stage.reaches("events.order", expected).await;
    let counted = check_numbered(&stage.entries("events.order").await);
    assert_eq!(counted.values().sum::<i64>(), expected);
}

#[tokio::test]
async fn concurrent_writers_keep_the_order_of_each_key() {
    let stage = Stage::new(&kept_with("batch_rows = 20")).await;
    counters(&stage).await;
    let _relay = stage.relay();
    write(&stage, 12, 100).await;
    check(&stage).await;
}

#[tokio::test]
async fn members_share_the_slots_and_are_replaced() {
    let stage = Stage::new(&kept_with("batch_rows = 20")).await;
    counters(&stage).await;
    let mut members: Vec<Program> =
        (0..3).map(|number| stage.member(&format!("member-{number}"))).collect();
    stage.shared_by(3).await;
    let replace = async {
        for number in 0..6 {
            let mut old = members.remove(0);
            if number % 2 == 0 {
                old.terminate();
                old.wait(LIMIT).await.expect("an end");
            } else {
                old.signal(nix::sys::signal::Signal::SIGKILL);
            }
            members.push(stage.member(&format!("member-{}", number + 3)));
            stage.shared_by(3).await;
        }
    };
    tokio::join!(write(&stage, 8, 150), replace);
    check(&stage).await;
}

#[tokio::test]
async fn an_idle_relay_is_woken_by_a_commit() {
    let stage = Stage::new(&kept_with("poll_interval = \"1h\"")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    for round in 1..=20 {
        Numbered { rows: 1, keys: 1 }.insert(&stage).await;
        stage.reaches("events.order", round).await;
    }
}
