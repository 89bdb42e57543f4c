//! Transactions that commit late, ids that nobody drew from the sequence, and transactions of
//! several parts: each row once, each key in order.

use std::collections::HashSet;

use super::{LAYOUTS, are_there, arrive, both, kept_as, left_behind, pieces};
use crate::support::{LIMIT, Stage, check_numbered};

/// So many events of one key, in one statement.
fn insert(key: &str, from: i64, rows: i64) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
         select 'order', '{key}', 'T', json_build_object('key', '{key}', 'n', n) \
         from generate_series({from}, {from} + {rows} - 1) n order by n;"
    )
}

/// So many transactions of one event each.
fn singly(key: &str, rows: i64) -> String {
    format!(
        "do $$ begin for n in 1..{rows} loop \
           insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
           values ('order', '{key}', 'T', json_build_object('key', '{key}', 'n', n)); commit; \
         end loop; end $$"
    )
}

/// Nothing comes after this.
async fn counted(stage: &Stage, keys: &[(&str, i64)]) {
    let sum = keys.iter().map(|(_, count)| count).sum();
    stage.reaches("events.order", sum).await;
    let counted = check_numbered(&stage.entries("events.order").await);
    for (key, count) in keys {
        assert_eq!(counted.get(*key), Some(count), "{key}");
    }
    assert_eq!(counted.values().sum::<i64>(), sum);
}

#[tokio::test]
async fn what_is_committed_late_comes_once_while_thousands_go_by() {
    for layout in LAYOUTS {
        let stage = Stage::new(&kept_as(layout, "batch_rows = 100")).await;
        let members = [stage.member("one"), stage.member("two")];
        stage.shared_by(2).await;
        let mut late = Vec::new();
        for (key, rows) in [("late-a", 1), ("late-b", 3), ("late-c", 2)] {
            let client = stage.client().await;
            client.batch_execute(&format!("begin; {}", insert(key, 1, rows))).await.expect("rows");
            late.push(client);
        }
        let client = stage.client().await;
        client.batch_execute("set synchronous_commit = off").await.expect("a setting");
        let others = async |key: &str, rows: i64| {
            client.batch_execute(&singly(key, rows)).await.expect("commits");
        };
        others("a", 2_000).await;
        stage.reaches("events.order", 2_000).await;
        // The last one to begin commits first, in the middle of others.
        let commit = async |number: usize| late[number].batch_execute("commit").await;
        let (committed, ()) = tokio::join!(commit(2), others("b", 2_000));
        committed.expect("a commit");
        stage.reaches("events.order", 4_002).await;
        let (committed, ()) = tokio::join!(commit(0), others("c", 1_000));
        committed.expect("a commit");
        stage.reaches("events.order", 5_003).await;
        commit(1).await.expect("a commit");
        let keys =
            [("a", 2_000), ("b", 2_000), ("c", 1_000), ("late-a", 1), ("late-b", 3), ("late-c", 2)];
        counted(&stage, &keys).await;
        drop(members);
        counted(&stage, &keys).await;
    }
}

#[tokio::test]
async fn a_late_bulk_comes_once_and_in_order() {
    for layout in LAYOUTS {
        let stage = Stage::new(&kept_as(layout, "batch_rows = 500")).await;
        let relay = stage.relay();
        let bulk = stage.client().await;
        bulk.batch_execute("begin").await.expect("a transaction");
        for key in ["bulk-a", "bulk-b"] {
            bulk.batch_execute(&insert(key, 1, 10_000)).await.expect("rows");
        }
        stage.sql(&singly("a", 300)).await;
        stage.reaches("events.order", 300).await;
        bulk.batch_execute("commit").await.expect("a commit");
        stage.sql(&singly("b", 300)).await;
        let keys = [("a", 300), ("b", 300), ("bulk-a", 10_000), ("bulk-b", 10_000)];
        counted(&stage, &keys).await;
        assert_eq!(left_behind(&stage).await, 0);
        drop(relay);
    }
}

/// Far below, far above, and several rows of one id where the table allows that.
#[tokio::test]
async fn ids_that_were_given_by_hand() {
    for layout in LAYOUTS {
        let stage = Stage::new(&kept_as(layout, "batch_rows = 2")).await;
        let relay = stage.relay();
        let given = async |id: &str, key: &str, rows: i64| {
            let row = format!(
                "insert into outbox (id, aggregate_type, aggregate_id, event_type, payload) \
                 overriding system value select {id}, 'order', '{key}' || i, 'T', \
                 json_build_object('key', '{key}' || i, 'n', 1) from generate_series(1, {rows}) i"
            );
            stage.sql(&row).await;
        };
        let mut expected = 0;
        let mut add = async |rows: i64| {
            expected += rows;
            stage.reaches("events.order", expected).await;
        };
        both(&stage, 1, 1).await;
        stage.sql(&insert("before", 1, 10)).await;
        add(10).await;
        given("-5", "below", 1).await;
        add(1).await;
        given("-9223372036854775807", "lowest", 1).await;
        add(1).await;
        given("1000000000000", "above", 1).await;
        add(1).await;
        stage.sql(&insert("between", 1, 10)).await;
        add(10).await;
        given("9223372036854775807", "highest", 1).await;
        add(1).await;
        stage.sql(&insert("after", 1, 10)).await;
        add(10).await;
        // The next reads begin at the sequence, not at what somebody made up.
        let hint = |piece: &String| piece.split('|').nth(4).map(str::to_owned);
        let told = async || {
            let hints: Vec<_> = pieces(&stage).await.iter().filter_map(hint).collect();
            hints
                .iter()
                .all(|hint| hint.parse::<i64>().is_ok_and(|hint| hint < 1_000))
                .then_some(hints)
        };
        stage.sql(&insert("last", 1, 1)).await;
        add(1).await;
        let told = outflow_local::eventually(LIMIT, "the hint to come down", told).await;
        assert!(told.is_ok(), "{layout}: {:?}", pieces(&stage).await);
        if layout == "ring" {
            given("77777", "same", 7).await;
            add(7).await;
            given("-77777", "lower", 7).await;
            add(7).await;
        }
        drop(relay);
        let entries = stage.entries("events.order").await;
        let ids: HashSet<_> = entries.iter().map(|entry| entry.field("id").to_owned()).collect();
        assert_eq!((ids.len(), entries.len()), (entries.len(), count(expected)), "{layout}");
        check_numbered(&entries);
        are_there(&stage, "events.good", 1).await;
    }
}

fn count(rows: i64) -> usize {
    usize::try_from(rows).expect("a number")
}

/// What was rolled back to a savepoint does not come; the rest does, also if it commits late.
#[tokio::test]
async fn savepoints_and_prepared_transactions() {
    for layout in LAYOUTS {
        let stage = Stage::new(&kept_as(layout, "batch_rows = 20\nnotify = false")).await;
        let mut relay = stage.member("one");
        let parts = format!(
            "begin; {} savepoint one; {} rollback to one; {} savepoint two; {} release two; {}",
            insert("s", 1, 2),
            insert("gone", 1, 5),
            insert("s", 3, 2),
            insert("s", 5, 2),
            insert("s", 7, 2),
        );
        let (early, late) = (stage.client().await, stage.client().await);
        early.batch_execute(&parts).await.expect("rows");
        late.batch_execute(&parts.replace("'s'", "'t'")).await.expect("rows");
        early.batch_execute("commit").await.expect("a commit");
        counted(&stage, &[("s", 8)]).await;
        for (key, rows) in [("p", 3), ("q", 30)] {
            let prepare = format!("begin; {} prepare transaction '{key}'", insert(key, 1, rows));
            stage.sql(&prepare).await;
        }
        stage.sql(&singly("a", 100)).await;
        counted(&stage, &[("s", 8), ("a", 100)]).await;
        late.batch_execute("commit").await.expect("a commit");
        // Whoever comes later must know that they are open.
        relay.kill();
        relay = stage.member("two");
        stage.shared_by(1).await;
        stage.sql("commit prepared 'p'").await;
        counted(&stage, &[("s", 8), ("a", 100), ("t", 8), ("p", 3)]).await;
        relay.kill();
        relay = stage.member("three");
        stage.sql("commit prepared 'q'").await;
        counted(&stage, &[("s", 8), ("a", 100), ("t", 8), ("p", 3), ("q", 30)]).await;
        drop(relay);
    }
}

/// Late rows of a stream that has a piece of its own.
#[tokio::test]
async fn what_is_committed_late_comes_once_to_a_paused_stream() {
    let stage = Stage::new(&kept_as("ring", "batch_rows = 20")).await;
    let relay = stage.relay();
    let client = stage.client().await;
    let late = "begin; insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                select kind, 'k' || k, 'T', json_build_object('key', 'k' || k, 'n', 1) \
                from generate_series(0, 9) k, unnest('{good,bad}'::text[]) kind";
    client.batch_execute(late).await.expect("rows");
    let pause = ["pause", "--stream", "events.bad", "--why", "schema"];
    stage.asked(&pause).await.data();
    crate::pause::heeds(&relay, 1).await;
    let other = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order', 'x', 'T', json_build_object('key', 'x', 'n', n) \
                 from generate_series(1, 100) n";
    stage.sql(other).await;
    stage.reaches("events.order", 100).await;
    client.batch_execute("commit").await.expect("a commit");
    arrive(&stage, "events.good", 1).await;
    both(&stage, 2, 5).await;
    arrive(&stage, "events.good", 6).await;
    stage.asked(&["resume", "--stream", "events.bad"]).await.data();
    arrive(&stage, "events.bad", 6).await;
    are_there(&stage, "events.good", 6).await;
}
