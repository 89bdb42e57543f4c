//! What every driver must do, against a real Postgres.

use std::future::{Future, ready};

use outflow_local::{Postgres, PostgresOptions};
use outflow_producer::{NewEvent, WriteError, WriteErrorKind};
use serde_json::value::RawValue;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// The relay's own default table.
const TABLE: &str = include_str!("../../../src/operate/migrate/event_table.sql");
/// Numbers that a float would change.
const DIGITS: &str = r#"{"b": 12345678901234567890.123, "a": 0.1, "tenths": 1.50, "huge": 1e400}"#;
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

pub(crate) type Events<'a> = [NewEvent<'a, RawValue>];

/// How events are written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    Write,
    WriteMany,
}

/// How the transaction ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End {
    Commit,
    Rollback,
}

/// What a driver says when it does not write.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    kind: WriteErrorKind,
    sqlstate: Option<String>,
    is_retriable: bool,
    has_source: bool,
}

impl<E: std::error::Error + 'static> From<WriteError<E>> for Failure {
    fn from(error: WriteError<E>) -> Self {
        use std::error::Error as _;
        Self {
            text: error.to_string(),
            kind: error.kind(),
            sqlstate: error.sqlstate().map(str::to_owned),
            is_retriable: error.is_retriable(),
            has_source: error.source().is_some(),
        }
    }
}

/// A driver with one connection.
pub(crate) trait Driver: Sized {
    async fn connect(url: &str) -> Self;

    async fn exists(&mut self, table: &str) -> bool;

    /// Begins a transaction, waits for `between`, writes, and ends.
    async fn write(
        &mut self,
        table: &str,
        events: &Events<'_>,
        call: Call,
        end: End,
        between: impl Future<Output = ()>,
    ) -> Result<(), Failure>;
}

/// A server with a session that looks at what the driver did.
struct Bed<D> {
    driver: D,
    admin: Client,
    _server: Postgres,
    _dir: TempDir,
}

impl<D: Driver> Bed<D> {
    async fn new(setup: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let options = PostgresOptions { fsync: false, ..PostgresOptions::default() };
        let server = Postgres::start_with(dir.path(), options).await.expect("Postgres starts");
        let (admin, connection) =
            tokio_postgres::connect(&server.url(), NoTls).await.expect("it takes connections");
        // Ends when the client is dropped.
        drop(tokio::spawn(connection));
        let setup = format!("{};{setup}", TABLE.replace("{table}", "public.outbox"));
        // A lock that is not to be had fails the test instead of holding it up.
        let setup = format!("set lock_timeout = '10s'; {setup}");
        admin.batch_execute(&setup).await.expect("the tables are made");
        Self { driver: D::connect(&server.url()).await, admin, _server: server, _dir: dir }
    }

    async fn commit(&mut self, table: &str, events: &Events<'_>, call: Call) {
        let written = self.driver.write(table, events, call, End::Commit, ready(())).await;
        written.unwrap_or_else(|failure| panic!("{table}, {call:?}: {failure:?}"));
    }

    /// The failure of a write, which must be the same by both calls.
    async fn refused(&mut self, table: &str, events: &Events<'_>) -> Failure {
        let mut failures = Vec::new();
        for call in [Call::Write, Call::WriteMany] {
            let written = self.driver.write(table, events, call, End::Commit, ready(())).await;
            failures.push(written.expect_err("it is refused"));
        }
        let (many, one) = (failures.pop().expect("two"), failures.pop().expect("two"));
        assert_eq!((&one.text, one.kind), (&many.text, many.kind));
        one
    }

    /// One text a row.
    async fn texts(&self, query: &str) -> Vec<String> {
        let rows = self.admin.query(query, &[]).await.expect("it is answered");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// Services write in tasks that move between threads.
pub(crate) fn sendable<F: Future + Send>(future: F) -> F {
    future
}

fn json(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("it is JSON")
}

pub(crate) async fn commits_and_rolls_back<D: Driver>() {
    let mut bed = Bed::<D>::new("").await;
    let (payload, id) = (json("{}"), Uuid::now_v7());
    let event = |key: &'static str| NewEvent::new("order", key, "OrderCreated", &*payload);
    let gone = [event("gone 1"), event("gone 2")];
    for call in [Call::Write, Call::WriteMany] {
        let written = bed.driver.write("outbox", &gone, call, End::Rollback, ready(())).await;
        written.expect("it is written before it is rolled back");
    }
    assert_eq!(bed.texts("select aggregate_id from outbox").await, Vec::<String>::new());
    let parent = TRACE.parse().expect("it is valid");
    let first = event("1").id(id).header("tenant", 7).traceparent(&parent);
    bed.commit("outbox", &[first, event("2")], Call::Write).await;
    bed.commit("public.outbox", &[event("3"), event("4"), event("5")], Call::WriteMany).await;
    bed.commit("outbox", &[], Call::WriteMany).await;
    let keys = bed.texts("select aggregate_id from outbox order by id").await;
    assert_eq!(keys, ["1", "2", "3", "4", "5"]);
    let first = "select concat_ws(' ', event_id, aggregate_type, event_type, payload, \
        headers->'tenant', headers->>'traceparent') from outbox order by id limit 1";
    assert_eq!(bed.texts(first).await, [format!("{id} order OrderCreated {{}} 7 {TRACE}")]);
    let ids = bed.texts("select count(distinct event_id)::text from outbox").await;
    assert_eq!(ids, ["5"]);
}

pub(crate) async fn keeps_digits_in_every_column<D: Driver>() {
    let columns = "(id bigint generated always as identity, event_id uuid, aggregate_type text, \
        aggregate_id text, event_type text, payload P, headers P)";
    let setup = ["json", "jsonb", "text", "varchar"]
        .map(|name| format!("create table as_{name} {};", columns.replace('P', name)))
        .join("");
    let mut bed = Bed::<D>::new(&setup).await;
    let payload = json(DIGITS);
    let as_given = |table: &str| (table.to_owned(), DIGITS.to_owned());
    // jsonb orders the keys, and keeps every digit.
    let zeros = "0".repeat(400);
    let in_order =
        format!(r#"{{"a": 0.1, "b": 12345678901234567890.123, "huge": 1{zeros}, "tenths": 1.50}}"#);
    let expected = [
        as_given("outbox"),
        as_given("as_json"),
        ("as_jsonb".to_owned(), in_order),
        as_given("as_text"),
        as_given("as_varchar"),
    ];
    for (table, text) in expected {
        let event = NewEvent::new("order", "1", "OrderCreated", &*payload).header("n", 1);
        bed.commit(&table, std::slice::from_ref(&event), Call::Write).await;
        bed.commit(&table, &[event], Call::WriteMany).await;
        let found = bed.texts(&format!("select payload::text from {table}")).await;
        assert_eq!(found, [text.as_str(), text.as_str()], "{table}");
        let headers = bed.texts(&format!("select headers::json->>'n' from {table}")).await;
        assert_eq!(headers, ["1", "1"], "{table}");
    }
}

pub(crate) async fn says_what_was_refused<D: Driver>() {
    let mut bed = Bed::<D>::new(
        r#"create schema "Sales 1"; create table "Sales 1"."Out""box" (like outbox including all);
        create view no_place as select 1 as event_id;
        create table picky (like outbox including all, check (aggregate_id <> 'secret'));
        create table lossy (like outbox including all);
        create table binary_json (like outbox including all);
        alter table binary_json alter payload type jsonb;
        create function drop_row() returns trigger language plpgsql as 'begin return null; end';
        create trigger drop_row before insert on lossy for each row execute function drop_row()"#,
    )
    .await;
    let payload = json(r#"{"name": "a\u0000b", "card": "4111"}"#);
    let event = NewEvent::new("order", "secret", "OrderCreated", &*payload);
    let failure = bed.refused("binary_json", &[event]).await;
    assert_eq!(
        failure.text,
        "cannot write the event to \"public\".\"binary_json\": unsupported Unicode escape sequence \
         (\\u0000 cannot be converted to text.); remove the character from the payload"
    );
    assert_eq!(failure.kind, WriteErrorKind::Event);
    assert!(failure.has_source && !failure.is_retriable, "{failure:?}");

    let payload = json(r#"{"card": "4111"}"#);
    let event = |key: &'static str| [NewEvent::new("order", key, "OrderCreated", &*payload)];
    let table = [
        ("outbox", event("a\0b"), "22021", WriteErrorKind::Event, "byte sequence"),
        ("picky", event("secret"), "23514", WriteErrorKind::Event, "violates check constraint"),
        ("missing", event("1"), "42P01", WriteErrorKind::Setup, "`outflow migrate`"),
        ("nowhere.outbox", event("1"), "42P01", WriteErrorKind::Setup, "does not exist"),
        ("no_place", event("1"), "42703", WriteErrorKind::Setup, "aggregate_type"),
    ];
    for (name, events, state, kind, words) in &table {
        let failure = bed.refused(name, events).await;
        assert_eq!(failure.sqlstate.as_deref(), Some(*state), "{name}: {failure:?}");
        assert_eq!(failure.kind, *kind, "{name}: {failure:?}");
        assert!(failure.text.contains(words), "{name}: {failure:?}");
        assert!(failure.has_source && !failure.is_retriable, "{name}: {failure:?}");
        // Rows are none of the logs' business.
        assert!(!failure.text.contains("4111"), "{name}: {failure:?}");
    }
    let failure = bed.refused("lossy", &event("1")).await;
    assert!(failure.text.contains("discarded 1 of 1 rows"), "{failure:?}");
    assert_eq!(failure.kind, WriteErrorKind::Setup);

    assert!(bed.driver.exists("outbox").await);
    assert!(!bed.driver.exists("missing").await);
    let quoted = r#""Sales 1"."Out""box""#;
    assert!(bed.driver.exists(quoted).await);
    bed.commit(quoted, &event("quoted"), Call::Write).await;
    let keys = bed.texts(&format!("select aggregate_id from {quoted}")).await;
    assert_eq!(keys, ["quoted"]);
}

pub(crate) async fn says_what_can_be_repeated<D: Driver>() {
    let mut bed = Bed::<D>::new("alter role postgres set lock_timeout = '100ms'").await;
    let payload = json("{}");
    let event = [NewEvent::new("order", "1", "OrderCreated", &*payload)];
    let admin = &bed.admin;
    let lock = async {
        admin.batch_execute("begin; lock table outbox").await.expect("it is locked");
    };
    let written = bed.driver.write("outbox", &event, Call::Write, End::Commit, lock).await;
    let failure = written.expect_err("the table is locked");
    assert_eq!(failure.kind, WriteErrorKind::Conflict, "{failure:?}");
    assert_eq!(failure.sqlstate.as_deref(), Some("55P03"));
    assert!(failure.is_retriable);
    assert!(failure.text.contains("lock timeout"), "{failure:?}");
    admin.batch_execute("rollback").await.expect("it is unlocked");

    let end_sessions = async {
        let others = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
            where backend_type = 'client backend' and pid <> pg_backend_pid()";
        admin.batch_execute(others).await.expect("they are ended");
    };
    let written = bed.driver.write("outbox", &event, Call::Write, End::Commit, end_sessions).await;
    let failure = written.expect_err("the session is over");
    assert_eq!(failure.kind, WriteErrorKind::Unavailable, "{failure:?}");
    assert!(failure.is_retriable && failure.has_source, "{failure:?}");
}
