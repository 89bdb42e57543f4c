//! Order per key when an id is drawn long before its row is there, or before its transaction has a
//! number: slow defaults, slow sub-selects, row triggers, ids that an ORM allocated beforehand;
//! into whatever table, by whatever statement.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::SinkExt;
use tokio_postgres::Client;

use crate::support::{Stage, check_numbered, event_columns, outbox};

/// Events of the serial writer's key.
const EVENTS: i64 = 8;
/// How long it holds each id.
const SLOW: &str = "(select pg_sleep(0.15))::text";

fn payload(key: &str, n: &str, slow: &str) -> String {
    format!("jsonb_build_object('key', '{key}', 'n', {n}, 'slow', {slow})")
}

fn insert(key: &str, n: &str, slow: &str) -> String {
    let payload = payload(key, n, slow);
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('order', \
            '{key}', 'T', {payload})"
    )
}

/// Writes K's events one after another, by turns slowly and at once, beside writers of other keys
/// that keep the relay busy and push its cursor.
async fn in_order(stage: &Stage, slowly: impl AsyncFn(&Client, i64)) {
    let _members = ["one", "two"].map(|name| stage.member(name));
    stage.shared_by(2).await;
    let ended = AtomicBool::new(false);
    let others = async |key: &str| {
        let client = stage.client().await;
        let mut n = 0;
        while !ended.load(Ordering::Relaxed) {
            n += 1;
            client.batch_execute(&insert(key, &n.to_string(), "''")).await.expect("an insert");
            client.batch_execute("select pg_sleep(0.003)").await.expect("a pause");
        }
        n
    };
    let serial = async {
        let client = stage.client().await;
        for n in 1..=EVENTS {
            if n % 2 == 1 {
                slowly(&client, n).await;
            } else {
                client.batch_execute(&insert("K", &n.to_string(), "''")).await.expect("an insert");
            }
        }
        ended.store(true, Ordering::Relaxed);
    };
    let (a, b, c, ()) =
        futures_util::future::join4(others("a"), others("b"), others("c"), serial).await;
    stage.reaches("events.order", a + b + c + EVENTS).await;
    let counted = check_numbered(&stage.entries("events.order").await);
    assert_eq!(counted["K"], EVENTS);
}

async fn execute(client: &Client, statement: &str) {
    client.batch_execute(statement).await.expect(statement);
}

/// Makes the default table another one, with its trigger.
async fn table(stage: &Stage, columns: &str, more: &str) {
    stage.sql(&format!("drop table outbox; create table outbox ({columns}); {more}")).await;
    stage.sql("delete from outflow.outbox").await;
    stage.migrate().await;
}

#[tokio::test]
async fn a_slow_sub_select() {
    let stage = Stage::new(&outbox("")).await;
    in_order(&stage, async |client, n| execute(client, &insert("K", &n.to_string(), SLOW)).await)
        .await;
}

#[tokio::test]
async fn a_sub_select_that_computes() {
    let stage = Stage::new(&outbox("")).await;
    let slow = "(select count(*) from generate_series(1, 700000))";
    in_order(&stage, async |client, n| execute(client, &insert("K", &n.to_string(), slow)).await)
        .await;
}

/// Whatever statement inserts: it takes the number before its first default.
#[tokio::test]
async fn any_statement() {
    let stage = Stage::new(&outbox("")).await;
    let slow = "create function slow() returns jsonb language sql as $$ select \
        jsonb_build_object('slow', pg_sleep(0.15)::text) $$; \
        alter table outbox alter column headers set default slow()";
    stage.sql(slow).await;
    let columns = "(aggregate_type, aggregate_id, event_type, payload)";
    let has_merge = stage.version().await >= 15;
    in_order(&stage, async |client, n| {
        let (n, payload) = (n.to_string(), payload("K", &n.to_string(), "''"));
        let statement = match n.as_str() {
            "1" => format!("insert into outbox {columns} select 'order', 'K', 'T', {payload}"),
            "3" => format!(
                "with made as (insert into outbox {columns} values ('order', 'K', 'T', \
                {payload}) returning 1) select * from made"
            ),
            "5" if has_merge => format!(
                "merge into outbox o using (select 1) as s on false when not matched then \
                 insert {columns} values ('order', 'K', 'T', {payload})"
            ),
            _ => {
                let copy = client
                    .copy_in(&format!("copy outbox {columns} from stdin"))
                    .await
                    .expect("a copy");
                let mut copy = std::pin::pin!(copy);
                let row = format!("order\tK\tT\t{{\"key\": \"K\", \"n\": {n}}}\n");
                copy.send(bytes::Bytes::from(row)).await.expect("a row");
                copy.close().await.expect("an end");
                return;
            }
        };
        execute(client, &statement).await;
    })
    .await;
}

/// However it comes to the insert: with a conflict's clause, by way of a view or a function, in
/// savepoints.
#[tokio::test]
async fn any_way_to_a_statement() {
    let stage = Stage::new(&outbox("")).await;
    let put = format!(
        "create view events as select * from outbox; \
         create function put(n bigint) returns void language plpgsql as $$ begin {}; end $$",
        insert("K", "n", SLOW)
    );
    stage.sql(&put).await;
    in_order(&stage, async |client, n| {
        let insert = insert("K", &n.to_string(), SLOW);
        let statement = match n {
            1 => format!("{insert} on conflict do nothing"),
            3 => insert.replace("into outbox", "into events"),
            5 => format!("select put({n})"),
            _ => format!(
                "begin; savepoint a; {insert}; rollback to a; select nextval('outbox_id_seq'); \
                    select pg_sleep(0.05); \
                 savepoint b; {insert}; release b; select pg_sleep(0.05); commit"
            ),
        };
        execute(client, &statement).await;
    })
    .await;
}

#[tokio::test]
async fn a_row_trigger_that_takes_its_time() {
    let stage = Stage::new(&outbox("")).await;
    stage
        .sql(
            "create function slow() returns trigger language plpgsql as \
             $$ begin if new.payload->>'slow' = 'yes' then perform \
             pg_sleep(0.15); end if; return new; end $$; \
             create trigger slow before insert on outbox for each row execute function slow()",
        )
        .await;
    in_order(&stage, async |client, n| {
        execute(client, &insert("K", &n.to_string(), "'yes'")).await;
    })
    .await;
}

#[tokio::test]
async fn a_serial_column_and_ids_from_an_earlier_statement() {
    let stage = Stage::new(&outbox("")).await;
    table(&stage, &event_columns("bigserial primary key"), "").await;
    in_order(&stage, async |client, n| {
        execute(client, "begin").await;
        let drawn = client.query_one("select nextval('outbox_id_seq')", &[]).await.expect("an id");
        let id: i64 = drawn.get(0);
        execute(client, "select pg_sleep(0.15)").await;
        let payload = payload("K", &n.to_string(), "''");
        let insert = format!(
            "insert into outbox (id, aggregate_type, aggregate_id, event_type, payload) values \
                ({id}, 'order', 'K', 'T', {payload}); commit"
        );
        execute(client, &insert).await;
    })
    .await;
}

#[tokio::test]
async fn an_identity_that_writers_may_set() {
    let stage = Stage::new(&outbox("")).await;
    table(&stage, &event_columns("bigint generated by default as identity primary key"), "").await;
    in_order(&stage, async |client, n| {
        let drawn = client.query_one("select nextval('outbox_id_seq')", &[]).await.expect("an id");
        let id: i64 = drawn.get(0);
        let payload = payload("K", &n.to_string(), SLOW);
        let insert = format!(
            "insert into outbox (id, aggregate_type, aggregate_id, event_type, payload) values \
                ({id}, 'order', 'K', 'T', {payload})"
        );
        execute(client, &insert).await;
    })
    .await;
}

#[tokio::test]
async fn a_partitioned_table() {
    let stage = Stage::new(&outbox("")).await;
    let columns = event_columns("bigint not null default nextval('ids')");
    let parts = "create table outbox_0 partition of outbox for values with (modulus 2, remainder \
        0); \
        create table outbox_1 partition of outbox for values with (modulus 2, remainder 1)";
    stage.sql("create sequence ids").await;
    stage
        .sql(&format!(
            "drop table outbox; create table outbox ({columns}, primary key (id, aggregate_id)) \
             partition by hash (aggregate_id); {parts}"
        ))
        .await;
    stage.sql("delete from outflow.outbox").await;
    stage.migrate().await;
    in_order(&stage, async |client, n| execute(client, &insert("K", &n.to_string(), SLOW)).await)
        .await;
}

/// The trigger of version 3, or none: nothing is known of when ids are drawn.
#[tokio::test]
async fn without_the_trigger_that_takes_the_number() {
    let stage = Stage::new(&outbox("poll_interval = \"20ms\"")).await;
    stage
        .sql(
            "create or replace trigger outflow_wake before insert on outbox for each statement \
            execute function outflow.wake()",
        )
        .await;
    in_order(&stage, async |client, n| {
        if n == 5 {
            execute(client, "drop trigger outflow_wake on outbox").await;
        }
        execute(client, &insert("K", &n.to_string(), SLOW)).await;
    })
    .await;
}

/// The trigger goes and comes back while the relay runs: what was written meanwhile is in order
/// too.
#[tokio::test]
async fn a_trigger_that_is_switched_off_and_on_again() {
    let stage = Stage::new(&outbox("poll_interval = \"20ms\"")).await;
    in_order(&stage, async |client, n| {
        execute(client, "alter table outbox disable trigger outflow_wake").await;
        execute(client, &insert("K", &n.to_string(), SLOW)).await;
        execute(client, "alter table outbox enable always trigger outflow_wake").await;
    })
    .await;
}

/// A writer that fires no ordinary trigger.
#[tokio::test]
async fn a_writer_in_the_role_of_a_replica() {
    let stage = Stage::new(&outbox("poll_interval = \"20ms\"")).await;
    in_order(&stage, async |client, n| {
        let insert = insert("K", &n.to_string(), SLOW);
        execute(
            client,
            &format!(
                "set session_replication_role = replica; {insert}; reset session_replication_role"
            ),
        )
        .await;
    })
    .await;
}
