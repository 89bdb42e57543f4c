//! DDL under a running relay: it goes on correctly with the table as it is then, or waits and says
//! why. It never ends, never takes rows from another table than it holds the locks of, and never
//! delivers a value as something else.

use crate::support::{Stage, check_numbered, outbox};

const FAST: &str = "poll_interval = \"50ms\"";

fn insert(table: &str, payload: &str) -> String {
    format!(
        "insert into {table} (aggregate_type, aggregate_id, event_type, payload, created_at) \
         values ('order', '00000000-0000-0000-0000-000000000007', 'T', {payload}, '2024-02-03 \
         04:05:06+00');"
    )
}

/// Each column goes from one type to another, while rows wait and while none does.
#[tokio::test]
async fn types_may_change_while_it_runs() {
    let changes = [
        ("payload type jsonb", "'{\"n\":1}'", "{\"n\": 1}"),
        ("payload type json", "'{\"n\":2}'", "{\"n\":2}"),
        ("payload type text using payload::text", "'3'", "3"),
        ("payload type bytea using convert_to(payload, 'UTF8')", "'\\x3400'", "4\0"),
        ("payload type jsonb using convert_from(payload, 'UTF8')::jsonb", "'5'", "5"),
        ("id type integer", "'6'", "6"),
        ("id type bigint", "'7'", "7"),
        ("event_id drop default, alter event_id type text", "'8'", "8"),
        ("event_id type uuid using event_id::uuid", "'9'", "9"),
        ("aggregate_id type uuid using aggregate_id::uuid", "'10'", "10"),
        ("aggregate_id type text", "'11'", "11"),
        ("created_at type timestamp using created_at at time zone 'UTC'", "'12'", "12"),
        ("created_at type timestamptz using created_at at time zone 'UTC'", "'13'", "13"),
        ("headers drop default, alter headers type text", "'14'", "14"),
    ];
    let stage = Stage::new(&outbox(FAST)).await;
    let relay = stage.relay();
    stage.ready(200).await;
    for (round, (change, payload, expected)) in changes.iter().enumerate() {
        let insert = insert("outbox", payload)
            .replace("(aggregate_type", "(event_id, headers, aggregate_type")
            .replace(
                "values (",
                &format!("values ('00000000-0000-0000-0000-{round:012}', '{{\"h\": {round}}}', "),
            );
        stage.sql(&format!("alter table outbox alter {change}")).await;
        stage.sql(&insert).await;
        stage.drained().await;
        let entries = stage.entries("events.order").await;
        let entry = entries.last().expect("an entry");
        assert_eq!(entries.len(), round + 1, "{change}");
        assert_eq!(entry.field("payload"), *expected, "{change}");
        assert_eq!(entry.field("id"), format!("00000000-0000-0000-0000-{round:012}"), "{change}");
        assert_eq!(entry.field("key"), "00000000-0000-0000-0000-000000000007", "{change}");
        assert_eq!(entry.field("time"), "2024-02-03T04:05:06Z", "{change}");
        assert_eq!(entry.field("headers"), format!("{{\"h\": {round}}}"), "{change}");
    }
    assert!(relay.log().contains("the table's definition has changed"), "{}", relay.log_tail());
}

/// What the configuration names is gone: it waits, says so, and goes on when it is back.
#[tokio::test]
async fn what_is_missing_is_waited_for() {
    let changes = [
        (
            "alter table outbox rename payload to body",
            "columns.payload",
            "alter table outbox rename body to payload",
        ),
        (
            "alter table outbox rename to elsewhere",
            "there is no table",
            "alter table elsewhere rename to outbox",
        ),
        (
            "create schema s; alter table outbox set schema s",
            "there is no table",
            "alter table s.outbox set schema public",
        ),
        (
            "alter table outbox drop created_at",
            "columns.time",
            "alter table outbox add created_at timestamptz",
        ),
        (
            "alter schema outflow rename to away",
            "schema outflow is not there",
            "alter schema away rename to outflow",
        ),
        (
            "create table kept as select * from outflow.outbox; delete from outflow.outbox",
            "is not registered",
            "insert into outflow.outbox select * from kept",
        ),
    ];
    let stage = Stage::new(&outbox(FAST)).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    for (round, (change, words, back)) in changes.iter().enumerate() {
        stage.sql(change).await;
        stage.not_ready(words).await;
        stage.sql(back).await;
        stage.sql(&insert("outbox", "'1'")).await;
        stage.drained().await;
        assert_eq!(
            stage.length("events.order").await,
            i64::try_from(round + 1).expect("few"),
            "{change}"
        );
        assert!(relay.exit_status().is_none(), "{change}: {}", relay.log_tail());
    }
}

/// Another table under the old name, with rows that look the same: neither is touched before it is
/// clear which is meant.
#[tokio::test]
async fn another_table_under_the_same_name_is_not_drained_in_its_place() {
    let stage = Stage::new(&outbox(FAST)).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let swap = "begin; alter table outbox rename to outbox_old; create table outbox (like \
        outbox_old including all); commit;";
    stage.sql(swap).await;
    stage.sql(&insert("outbox", "'1'")).await;
    stage.not_ready("is not registered").await;
    assert_eq!(stage.number("select count(*) from outbox").await, 1);
    assert_eq!(stage.length("events.order").await, 0);
    stage.sql("begin; drop table outbox; alter table outbox_old rename to outbox; commit").await;
    stage.sql(&insert("outbox", "'2'")).await;
    stage.drained().await;
    assert_eq!(stage.entries("events.order").await[0].field("payload"), "2");
}

/// Children come while it runs; their rows are in the same places as those of others.
#[tokio::test]
async fn a_table_that_gets_children_goes_on_in_order() {
    let stage = Stage::new(&outbox(&format!("{FAST}\nbatch_rows = 7"))).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let row = |table: &str, offset: i32, from: i32, to: i32| {
        format!(
            "insert into {table} (id, event_id, aggregate_type, aggregate_id, event_type, \
                payload, headers, created_at) \
             overriding system value \
             select 6 * i + {offset} + m, gen_random_uuid(), 'order', k, 'T', \
             jsonb_build_object('key', k, 'n', i), '{{}}', now() \
             from generate_series({from}, {to}) i, unnest(array['{table}a', '{table}b']) with \
             ordinality u (k, m);"
        )
    };
    stage.sql(&row("outbox", 0, 1, 30)).await;
    stage.drained().await;
    stage
        .sql(
            "create table c1 (like outbox including all); create table c2 (like outbox \
        including all)",
        )
        .await;
    let rows = [row("outbox", 0, 31, 60), row("c1", 2, 1, 60), row("c2", 4, 1, 60)].concat();
    stage
        .sql(&format!(
            "begin; {rows} alter table c1 inherit outbox; alter table c2 inherit outbox; commit"
        ))
        .await;
    stage.drained().await;
    stage.sql(&row("c1", 2, 61, 90)).await;
    stage.drained().await;
    let counted = check_numbered(&stage.entries("events.order").await);
    assert_eq!(counted.values().sum::<i64>(), 2 * (60 + 90 + 60));
}
