//! Types of columns: what they are based on, how texts and times are told apart, and what makes no
//! sense.

use tokio_postgres::error::SqlState;

use crate::support::{Stage, check_numbered, outbox};

/// The columns of a table, its outbox, and servers.
async fn stage(columns: &str, more: &str) -> Stage {
    let stage = Stage::bare(&outbox(more).replace("public.outbox", "public.mine")).await;
    stage.sql(&format!("create extension hstore; create table mine ({columns})")).await;
    stage.migrate().await;
    stage
}

const USUAL: &str = "id bigint generated always as identity primary key, event_id uuid not null \
    default gen_random_uuid(), \
    aggregate_type text not null default 'order', aggregate_id text, event_type text not null \
    default 'T', \
    payload jsonb, headers jsonb, created_at timestamptz default now()";

/// The usual columns, with these in place of those of the same name.
fn columns(changed: &[&str]) -> String {
    let name = |column: &str| column.trim().split(' ').next().map(str::to_owned);
    let column = |usual: &str| {
        let other = changed.iter().find(|other| name(other) == name(usual));
        other.map_or_else(|| usual.to_owned(), |other| (*other).to_owned())
    };
    USUAL.split(", ").map(column).collect::<Vec<_>>().join(", ")
}

/// Each column is of a domain over a domain.
#[tokio::test]
async fn domains_are_followed_to_their_base() {
    let stage =
        Stage::bare(&outbox("event_bytes_max = \"1KiB\"").replace("public.outbox", "public.mine"))
            .await;
    for (name, base) in [
        ("b", "bytea"),
        ("i", "bigint"),
        ("t", "text"),
        ("u", "uuid"),
        ("j", "jsonb"),
        ("z", "timestamptz"),
    ] {
        stage
            .sql(&format!(
                "create domain {name}1 as {base}; create domain {name}2 as {name}1; create domain \
                    {name}3 as {name}2"
            ))
            .await;
    }
    let changed = [
        "id i3 primary key default nextval('s')",
        "event_id u3 not null default gen_random_uuid()",
        "aggregate_id b3",
        "event_type t2 default 'T'",
        "payload b3",
        "headers j3",
        "created_at z3 default '2024-02-03 04:05:06+00'",
    ];
    stage.sql(&format!("create sequence s; create table mine ({})", columns(&changed))).await;
    stage.migrate().await;
    stage
        .sql(
            "insert into mine (aggregate_id, payload, headers) values ('k', '\\x00ff41', \
        '{\"h\": 1}')",
        )
        .await;
    stage
        .sql(
            "insert into mine (aggregate_id, payload) values ('k', decode(repeat('00ff', 1000), \
        'hex'))",
        )
        .await;
    stage.once().await;
    let entry = &stage.entries("events.order").await[0];
    assert_eq!(entry.field("payload"), "\\x00ff41", "three bytes, as the test shows them");
    assert_eq!(
        (entry.field("key"), entry.field("time"), entry.field("headers")),
        ("k", "2024-02-03T04:05:06Z", "{\"h\": 1}")
    );
    // A letter goes back as what it was.
    stage.asked(&["dead", "retry", "--reason", "too_large", "--yes"]).await.data();
    let back = "select count(*) from mine where aggregate_id = convert_to('k', 'UTF8') and \
        length(payload) = 2000";
    assert_eq!(stage.number(back).await, 1);
}

/// What would be delivered as something else is refused, with the key, the column and what is
/// expected.
#[tokio::test]
async fn types_that_make_no_sense_are_refused() {
    let stage = stage(USUAL, "").await;
    let table = [
        ("columns.time", "created_at text"),
        ("columns.time", "created_at bigint"),
        ("columns.time", "created_at time"),
        ("columns.id", "id jsonb"),
        ("columns.event_id", "event_id json"),
        ("columns.event_id", "event_id uuid[]"),
        ("columns.event_id", "event_id double precision"),
        ("columns.key", "aggregate_id xml"),
        ("columns.key", "aggregate_id int4range"),
        ("columns.type", "event_type json"),
        ("columns.payload", "payload text[]"),
        ("columns.payload", "payload hstore"),
        ("columns.payload", "payload outflow.migration"),
        ("columns.headers", "headers hstore"),
        ("columns.headers", "headers bytea"),
        ("stream", "aggregate_type bytea"),
    ];
    for (key, column) in table {
        stage.sql(&format!("drop table mine; create table mine ({})", columns(&[column]))).await;
        stage.migrate().await;
        let (code, log) = stage.finished("refused", &["run", "--once"]).await;
        assert_eq!(code, Some(78), "{column}: {log}");
        let (name, kind) = column.split_once(' ').expect("a name and a type");
        for words in [
            format!("{key} names \\\"{name}\\\""),
            format!("which is {kind}"),
            "expected".to_owned(),
        ] {
            assert!(
                log.contains(&words) || log.contains(&words.replace('\\', "")),
                "{column}: {words} is not in {log}"
            );
        }
    }
}

/// Texts that a collation takes for equal are others here; collations that do not go together do no
/// harm.
#[tokio::test]
async fn texts_are_bytes_whatever_their_collation() {
    let stage = Stage::bare(
        &outbox("poll_interval = \"50ms\"")
            .replace("public.outbox", "public.mine")
            .replace("events.{aggregate_type}", "{place}.{aggregate_type}"),
    )
    .await;
    let collations = [
        "create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = \
            false); \
         create collation other (provider = icu, locale = 'de')",
        "create collation nocase from \"C\"; create collation other from \"POSIX\"",
    ];
    match stage.client().await.batch_execute(collations[0]).await {
        // A build without ICU (`make matrix`).
        Err(error) if error.code() == Some(&SqlState::FEATURE_NOT_SUPPORTED) => {
            stage.sql(collations[1]).await;
        }
        created => created.expect("collations"),
    }
    let changed = [
        "id text collate nocase primary key default to_char(nextval('s'), 'FM0000000000')",
        "event_id text collate other not null default gen_random_uuid()::text",
        "aggregate_type text collate nocase",
        "aggregate_id text collate other",
    ];
    let more = "n bigint default nextval('n'), place text collate other default 'events'";
    stage
        .sql(&format!(
            "create sequence s; create sequence n; create table mine ({}, {more})",
            columns(&changed)
        ))
        .await;
    let settings = std::fs::read_to_string(stage.path().join("outflow.toml")).expect("a file");
    std::fs::write(
        stage.path().join("outflow.toml"),
        format!("{settings}\n[outbox.columns]\norder = \"n\"\n"),
    )
    .expect("a file");
    stage.migrate().await;
    let _members = [stage.member("one"), stage.member("two")];
    stage.shared_by(2).await;
    // A stream that is parked, and one that a collation takes for the same.
    stage.command("SET", &["events.order", "not a stream"]).await;
    let insert = |kind: &str| {
        format!(
            "insert into mine (aggregate_type, aggregate_id, payload) \
             select '{kind}', k, jsonb_build_object('key', k, 'n', i) \
             from generate_series(1, 20) i, unnest(array['k', 'K', 'l', 'L', 'ä', 'Ä', 'ö', 'o']) \
             k order by i"
        )
    };
    stage.sql(&insert("order")).await;
    stage.sql(&insert("Order")).await;
    stage.reaches("events.Order", 160).await;
    check_numbered(&stage.entries("events.Order").await);
    stage.command("DEL", &["events.order"]).await;
    stage.emptied("public.mine").await;
    check_numbered(&stage.entries("events.order").await);
    assert_eq!(stage.length("events.order").await, 160);
}

/// Every time is delivered as what it is, and goes back into the table as that.
#[tokio::test]
async fn times_beyond_the_calendar_stay_what_they_are() {
    let times = [
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
        ("9999-12-31 23:59:59+00", "9999-12-31T23:59:59Z"),
        ("12000-01-01 00:00:00+00", "+012000-01-01T00:00:00Z"),
        ("294276-12-31 00:00:00+00", "+294276-12-31T00:00:00Z"),
        ("0001-12-31 00:00:00+00 BC", "0000-12-31T00:00:00Z"),
        ("0044-03-15 00:00:00+00 BC", "-000043-03-15T00:00:00Z"),
        ("4714-11-24 00:00:00+00 BC", "-004713-11-24T00:00:00Z"),
        ("2024-02-29 00:00:00+00", "2024-02-29T00:00:00Z"),
    ];
    for kind in ["timestamptz", "timestamp", "date"] {
        let stage =
            stage(&columns(&[&format!("created_at {kind}")]), "event_bytes_max = \"1KiB\"").await;
        for (n, (time, _)) in times.iter().enumerate() {
            let zone = if kind == "date" {
                time.replace(" 23:59:59", " 00:00:00")
            } else {
                (*time).to_owned()
            };
            let large = "jsonb_build_object('pad', repeat('x', 2000))";
            stage
                .sql(&format!(
                    "set timezone = 'UTC'; insert into mine (aggregate_id, payload, created_at) \
                        values ('k', '{n}', '{zone}'), ('k', {large}, '{zone}')"
                ))
                .await;
        }
        stage.once().await;
        let entries = stage.entries("events.order").await;
        let delivered: Vec<String> =
            entries.iter().map(|entry| entry.field("time").to_owned()).collect();
        let expected = times.map(|(_, time)| {
            if kind == "date" { time.replace("23:59:59", "00:00:00") } else { time.to_owned() }
        });
        assert_eq!(delivered, expected, "{kind}");
        stage.asked(&["dead", "retry", "--reason", "too_large", "--yes"]).await.data();
        let back = stage
            .client()
            .await
            .query("select to_jsonb(created_at)::text from mine order by id", &[])
            .await
            .expect("rows");
        assert_eq!(back.len(), times.len());
        for ((time, _), row) in times.iter().zip(&back) {
            let same = format!(
                "select count(*) from mine where to_jsonb(created_at)::text = '{}' and created_at \
                    = '{time}'",
                row.get::<_, String>(0)
            );
            assert_eq!(stage.number(&same).await, 1, "{kind} {time}");
        }
    }
}
