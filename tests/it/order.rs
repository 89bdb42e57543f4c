//! Order per key while writers commit late: the case that `id > last` gets wrong.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{LIMIT, Stage, check_numbered, outbox};

/// K's id 1 is open while others are taken; it commits, and K's next event must not be taken before
/// it.
#[tokio::test]
async fn a_late_commit_is_not_overtaken() {
    let stage = Stage::new(&outbox("batch_rows = 2\npoll_interval = \"1h\"")).await;
    let _relay = stage.relay();
    let insert = |key: &str, n: i64| {
        format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
             values ('order', '{key}', 'T', jsonb_build_object('key', '{key}', 'n', {n}))"
        )
    };
    for round in 0..50 {
        let slow = stage.client().await;
        let slow_key = format!("slow-{round}");
        slow.batch_execute(&format!("begin; {}", insert(&slow_key, 1))).await.expect("open");
        let others: Vec<String> = (1..=3).map(|n| insert(&format!("other-{round}"), n)).collect();
        stage.sql(&others.join(";")).await;
        stage.reaches("events.order", round * 5 + 3).await;
        slow.batch_execute(&format!("commit; {}", insert(&slow_key, 2))).await.expect("a commit");
        stage.reaches("events.order", round * 5 + 5).await;
    }
    assert_eq!(check_numbered(&stage.entries("events.order").await).len(), 100);
}

/// Many writers on a few hot keys, a part of the commits held open: each key's counter is taken
/// under its row's lock.
#[tokio::test]
async fn concurrent_writers_keep_the_order_of_each_key() {
    const WRITERS: u32 = 12;
    const ROUNDS: u32 = 150;
    let stage = Stage::new(&outbox("batch_rows = 20")).await;
    stage
        .sql(
            "create table counter (key text primary key, n bigint not null); insert into \
        counter select 'k' || i, 0 from generate_series(0, 29) i",
        )
        .await;
    let _relay = stage.relay();
    let failed = AtomicBool::new(false);
    let writer = async |number: u32| {
        let client = stage.client().await;
        for round in 0..ROUNDS {
            let key = (number * 7 + round * 13) % 30;
            let hold =
                if (number + round).is_multiple_of(10) { "select pg_sleep(0.02);" } else { "" };
            let end = if (number * 3 + round).is_multiple_of(17) { "rollback" } else { "commit" };
            let work = format!(
                "begin; with c as (update counter set n = n + 1 where key = 'k{key}' returning \
                    key, n) \
                 insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order', key, 'T', jsonb_build_object('key', key, 'n', n) from c; {hold} \
                 {end}"
            );
            if client.batch_execute(&work).await.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        }
    };
    futures_util::future::join_all((0..WRITERS).map(writer)).await;
    assert!(!failed.load(Ordering::Relaxed), "a writer failed");
    tokio::time::timeout(LIMIT, stage.drained()).await.expect("an empty table");
    let counted = check_numbered(&stage.entries("events.order").await);
    let expected = stage.number("select sum(n) from counter").await;
    assert_eq!(counted.values().sum::<i64>(), expected);
}

/// A row that was locked by somebody else is passed over, and found when the lock is gone.
#[tokio::test]
async fn a_locked_row_is_found_later() {
    let stage = Stage::new(&outbox("poll_interval = \"50ms\"")).await;
    let values = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values";
    stage.sql(&format!("{values} ('order', 'a', 'T', '{{}}'), ('order', 'b', 'T', '{{}}')")).await;
    let other = stage.client().await;
    other
        .batch_execute("begin; select * from outbox where aggregate_id = 'a' for update")
        .await
        .expect("a lock");
    let _relay = stage.relay();
    stage.reaches("events.order", 1).await;
    stage.sql(&format!("{values} ('order', 'c', 'T', '{{}}')")).await;
    stage.reaches("events.order", 2).await;
    other.batch_execute("rollback").await.expect("an end");
    stage.reaches("events.order", 3).await;
    stage.drained().await;
}
