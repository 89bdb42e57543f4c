//! What `outflow migrate` makes for kept outboxes.

use outflow::operate::migrate::VERSION;
use tokio_postgres::error::SqlState;

use super::kept;
use crate::support::{Stage, outbox};

const INSERT: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
    values ('order', 'k', 'T', '{ \"n\":  1 }')";
/// Everything that is in the two schemas, with its definition, as one number.
const ALL: &str = "select ('x' || substr(md5(string_agg(what, ' ' order by what)), 1, \
    15))::bit(60)::bigint from ( \
    select concat_ws(' ', c.oid, c.relname, c.relkind, c.relfilenode, obj_description(c.oid)) as \
    what from pg_class c where relnamespace in ('public'::regnamespace, \
    'outflow'::regnamespace) \
    union all select concat_ws(' ', oid, tgname, tgenabled, xmin) from pg_trigger) as everything";

async fn code(stage: &Stage, statement: &str) -> Option<SqlState> {
    let outcome = stage.client().await.batch_execute(statement).await;
    outcome.err().and_then(|error| error.code().cloned())
}

/// Columns of the default table in their order, with types and what they are filled with.
async fn columns(stage: &Stage) -> String {
    let query = "select string_agg(concat_ws(' ', attname, format_type(atttypid, null), case \
        when attnotnull then 'required' end), ', ' order by attnum) from pg_attribute where \
        attrelid = 'outbox'::regclass and attnum > 0";
    stage.client().await.query_one(query, &[]).await.expect("columns").get(0)
}

const COLUMNS: &str = "id bigint required, event_id uuid required, aggregate_type text required, \
    aggregate_id text required, event_type text required, payload json required, headers json \
    required, created_at timestamp with time zone required";

#[tokio::test]
async fn the_default_table_keeps_json_as_it_was_written() {
    let stage = Stage::new(&outbox("")).await;
    assert_eq!(columns(&stage).await, COLUMNS);
    stage.sql(INSERT).await;
    stage.once().await;
    assert_eq!(stage.entries("events.order").await[0].field("payload"), "{ \"n\":  1 }");
}

#[tokio::test]
async fn a_ring_takes_rows_of_any_time_and_is_made_once() {
    let stage = Stage::new(&kept("")).await;
    assert_eq!(columns(&stage).await, format!("xid xid8 required, {COLUMNS}"));
    let partitions = "select count(*) from pg_inherits where inhparent = 'outbox'::regclass and \
        inhrelid::regclass::text ~ '^outbox_p[0-8]$'";
    assert_eq!(stage.number(partitions).await, 9, "seven days, one to fill, one to empty");
    let indexes = "select count(*) from pg_index where indrelid = any \
        (select inhrelid from pg_inherits where inhparent = 'outbox'::regclass) and indisvalid";
    assert_eq!(stage.number(indexes).await, 18);
    let before = stage.number(ALL).await;
    stage.migrate().await;
    assert_eq!(stage.number(ALL).await, before, "nothing is made or changed again");

    // One row of each day, for longer than the ring goes around, and some of long ago.
    stage.sql(INSERT).await;
    let many = "insert into outbox (aggregate_type, aggregate_id, event_type, payload, created_at) \
        select 'order', 'k', 'T', '{}'::json, at from generate_series(now() - interval \
        '10 days', now() + interval '8 days', '1 day') as at \
        union all select 'order', 'k', 'T', '{}'::json, at from generate_series(timestamptz \
        '1969-12-20', '1970-01-10', '1 day') as at";
    stage.sql(many).await;
    assert_eq!(stage.number("select count(*) from outbox").await, 1 + 19 + 22);
    assert_eq!(stage.number("select count(distinct tableoid) from outbox").await, 9);
    assert_eq!(stage.number("select count(distinct id) from outbox").await, 42);
    assert_eq!(stage.number("select count(distinct xid) from outbox").await, 2);
    let own = "with mine as (insert into outbox (aggregate_type, aggregate_id, event_type, \
        payload) values ('order', 'k', 'T', '{}') returning xid) \
        select (xid = pg_current_xact_id())::integer::bigint from mine";
    let own: i64 = stage.client().await.query_one(own, &[]).await.expect("a row").get(0);
    assert_eq!(own, 1, "by default the number of the inserting transaction");

    // The trigger of the parent fires, once a statement.
    let raise = "create or replace function outflow.number_and_wake() returns trigger language \
        plpgsql as $$ begin raise exception using errcode = 'TRIGG'; end $$";
    stage.sql(raise).await;
    assert_eq!(code(&stage, INSERT).await, Some(SqlState::from_code("TRIGG")));
}

#[tokio::test]
async fn the_ring_goes_by_the_hour_if_rows_are_kept_for_less_than_two_days() {
    let table =
        [("for = \"1h\"", 3, "hour"), ("for = \"47h 1s\"", 50, "hour"), ("for = \"2d\"", 4, "day")];
    let stage = Stage::bare("").await;
    for (more, slots, unit) in table {
        stage.configure(&kept(more));
        stage.migrate().await;
        let count = "select count(*) from pg_inherits where inhparent = 'outbox'::regclass";
        assert_eq!(stage.number(count).await, slots, "{more}");
        let comment = "select obj_description('outbox'::regclass)";
        let comment: String =
            stage.client().await.query_one(comment, &[]).await.expect("a comment").get(0);
        assert!(comment.contains(&format!("{slots} partitions, one for each {unit}")), "{comment}");
        stage.sql(INSERT).await;
        stage.sql("drop table outbox").await;
    }
}

#[tokio::test]
async fn a_plain_table_has_a_primary_key() {
    let stage = Stage::new(&kept("layout = \"plain\"")).await;
    assert_eq!(columns(&stage).await, format!("xid xid8 required, {COLUMNS}"));
    let indexes = "select string_agg(pg_get_indexdef(indexrelid, 1, true) || ' ' || \
        coalesce(pg_get_indexdef(indexrelid, 2, true), '') || ' ' || indisprimary, ', ' order by \
        indisprimary) from pg_index where indrelid = 'outbox'::regclass";
    let indexes: String =
        stage.client().await.query_one(indexes, &[]).await.expect("indexes").get(0);
    assert_eq!(indexes, "xid id false, id  true");
    let before = stage.number(ALL).await;
    stage.migrate().await;
    assert_eq!(stage.number(ALL).await, before);
    // Not even the layout of a table is changed once it is there.
    stage.configure(&kept(""));
    stage.migrate().await;
    assert_eq!(stage.number(ALL).await, before);
}

#[tokio::test]
async fn a_table_that_deletes_is_left_as_it_is() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(INSERT).await;
    let before = stage.number(ALL).await;
    stage.configure(&kept(""));
    stage.migrate().await;
    assert_eq!(stage.number(ALL).await, before);
    assert_eq!(columns(&stage).await, COLUMNS);
}

/// The printed script says which grant producers need. With it they cannot set `xid`.
#[tokio::test]
async fn producers_are_granted_every_column_but_xid() {
    let stage = Stage::bare(&kept("")).await;
    let script = stage.asked(&["migrate", "--print"]).await.data();
    let line = script.lines().find_map(|line| line.strip_prefix("-- grant insert "));
    let grant = format!("grant insert {}", line.expect("a grant")).replace("ROLE", "producer");
    stage.sql(&script).await;
    stage.sql(&format!("create role producer; {grant}")).await;
    let as_producer = |statement: &str| format!("set role producer; {statement}");
    assert_eq!(code(&stage, &as_producer(INSERT)).await, None);
    let forged = INSERT.replace("(aggregate_type", "(xid, aggregate_type");
    let forged = forged.replace("values (", "values ('7', ");
    assert_eq!(code(&stage, &forged).await, None, "the owner may");
    let denied = Some(SqlState::INSUFFICIENT_PRIVILEGE);
    assert_eq!(code(&stage, &as_producer(&forged)).await, denied);
}

/// From version 5: who works with the outbox works with the positions, and letters stay.
#[tokio::test]
async fn version_five_is_brought_to_version_six() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(
            "drop table outflow.position; alter table outflow.dead_letter drop column kept, drop \
             column xid, drop column pending, drop column retired_at; delete from \
             outflow.migration where version >= 6; create role relay; grant select, update on \
             outflow.outbox to relay; insert into outflow.dead_letter (outbox, \"row\", event_id, \
             type, payload, reason) values ('orders', '1', 'e', 'T', '', 'size')",
        )
        .await;
    let check = stage.asked(&["check"]).await;
    assert!(check.stdout.contains("schema outflow is of an older version"), "{check:?}");
    stage.migrate().await;
    assert_eq!(
        stage.number("select max(version) from outflow.migration").await,
        i64::from(VERSION)
    );
    let may = "select count(*) from unnest(array['select', 'insert', 'update', 'delete']) as p \
        where has_table_privilege('relay', 'outflow.position', p)";
    assert_eq!(stage.number(may).await, 4);
    let letter = |kept: &str, xid: &str| {
        format!(
            "insert into outflow.dead_letter (outbox, \"row\", event_id, type, payload, reason, \
             kept, xid) values ('orders', '1', 'e', 'T', '', 'size', {kept}, {xid})"
        )
    };
    assert_eq!(code(&stage, &letter("null", "null")).await, None, "an outbox that deletes");
    assert_eq!(code(&stage, &letter("1", "'5'")).await, None);
    assert_eq!(code(&stage, &letter("1", "'6'")).await, None, "another row with this number");
    assert_eq!(code(&stage, &letter("1", "'5'")).await, Some(SqlState::UNIQUE_VIOLATION));
    assert_eq!(stage.number("select count(*) from outflow.dead_letter").await, 4);
    assert_eq!(stage.asked(&["check"]).await.code, Some(0));

    // Positions of tables that were dropped go with the next migrate.
    stage
        .sql(
            "create table gone (); insert into outflow.position (relation, generation, member, \
             batch, pieces) select relation, 1, 1, 1, '' from (values ('gone'::regclass), \
             ('outbox'::regclass)) as of (relation); drop table gone",
        )
        .await;
    stage.migrate().await;
    assert_eq!(stage.number("select count(*) from outflow.position").await, 1);
}
