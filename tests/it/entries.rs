//! What an entry holds: every field exact, for every format, type of column and kind of table.

use crate::support::{Entry, Stage, event_columns, outbox};
use bytes::Bytes;
use outflow_consumer::EntryId;

fn fields<const N: usize>(expected: [(&str, &str); N]) -> Entry {
    Entry(expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

const ID: &str = "018f0000-0000-7000-8000-0000000000";

#[tokio::test]
async fn every_field_is_passed_on_exactly() {
    let stage = Stage::new(&outbox("")).await;
    let large = "é".repeat(500_000);
    stage
        .sql(&format!(
            r#"insert into outbox (event_id, aggregate_type, aggregate_id, event_type, payload,
               headers, created_at) values
            ('{ID}01', 'order', 'o-1', 'OrderCreated', '{{"a": 1, "text": "Grüße 🎉 \"q\""}}',
                '{{}}', '2026-11-21 10:00:00+02'),
            ('{ID}02', 'order', 'schlüssel ✓', 'Ünïcode', '[]',
                '{{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}',
                '2026-11-21 10:00:00.123456Z'),
            ('{ID}03', 'order', '', '', '"{large}"', '{{}}', '1999-12-31 23:59:59Z')"#
        ))
        .await;
    stage.once().await;
    let entries = stage.entries("events.order").await;
    let expected = [
        fields([
            ("id", &format!("{ID}01")),
            ("type", "OrderCreated"),
            ("key", "o-1"),
            ("time", "2026-11-21T08:00:00Z"),
            ("payload", r#"{"a": 1, "text": "Grüße 🎉 \"q\""}"#),
        ]),
        fields([
            ("id", &format!("{ID}02")),
            ("type", "Ünïcode"),
            ("key", "schlüssel ✓"),
            ("time", "2026-11-21T10:00:00.123456Z"),
            ("payload", "[]"),
            (
                "headers",
                r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
            ),
        ]),
        fields([
            ("id", &format!("{ID}03")),
            ("type", ""),
            ("key", ""),
            ("time", "1999-12-31T23:59:59Z"),
            ("payload", &format!("\"{large}\"")),
        ]),
    ];
    assert_eq!(entries, expected);
    stage.drained().await;
}

#[tokio::test]
async fn each_format_has_its_own_fields() {
    let formats = [
        ("fields", "id type key time payload headers"),
        ("payload", "payload"),
        (
            "cloudevents",
            "specversion id source type partitionkey time datacontenttype data headers",
        ),
        ("debezium", "key value headers"),
    ];
    let stage = Stage::new(&outbox("")).await;
    for (format, names) in formats {
        stage.configure(&outbox(&format!("format = \"{format}\"")));
        let insert = format!(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, headers) \
             values ('{format}', 'k', 'T', '{{}}', '{{\"a\": \"b\"}}')"
        );
        stage.sql(&insert).await;
        stage.once().await;
        let entries = stage.entries(&format!("events.{format}")).await;
        assert_eq!(entries.iter().map(Entry::names).collect::<Vec<_>>(), [names], "{format}");
    }
}

/// A payload keeps its bytes, whatever its type.
#[tokio::test]
async fn payloads_of_every_type_keep_their_bytes() {
    let types = [
        ("json", r#"'{"b":  1, "a":1}'"#, r#"{"b":  1, "a":1}"#),
        ("jsonb", r#"'{"b":  1, "a":1}'"#, r#"{"a": 1, "b": 1}"#),
        ("text", "'plain: ünï'", "plain: ünï"),
        ("varchar(20)", "'short'", "short"),
        ("bytea", r"'\x00ff10'::bytea", "\\x00ff10"),
        ("xml", "'<a/>'", "<a/>"),
    ];
    let section = |name: &str| {
        format!(
            "[[outbox]]\nname = \"{name}\"\ntable = \"app.{name}\"\nstream = \
                \"s.{name}\"\n[outbox.columns]\nid = \"id\"\n\
             event_id = \"id\"\nkey = \"\"\ntype = \"kind\"\npayload = \"body\"\nheaders = \
             \"\"\ntime = \"\"\n"
        )
    };
    let stage = Stage::bare(&section("none")).await;
    stage.sql("create schema app").await;
    for (number, (kind, literal, expected)) in types.iter().enumerate() {
        let name = format!("t{number}");
        stage.configure(&section(&name));
        stage
            .sql(&format!(
                "create table app.{name} (id bigint primary key, kind text not null, body {kind}); \
                 insert into app.{name} values (7, 'K', {literal})"
            ))
            .await;
        stage.migrate().await;
        stage.once().await;
        let entries = stage.entries(&format!("s.{name}")).await;
        let expected =
            fields([("id", "7"), ("type", "K"), ("key", ""), ("time", ""), ("payload", expected)]);
        assert_eq!(entries, [expected], "{kind}");
        // The consumer library takes it: neither a key nor a time is needed.
        let pairs = entries[0].0.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
        let pairs: Vec<Bytes> = pairs.map(Bytes::from).collect();
        let read = outflow_consumer::Entry::read("s", EntryId::default(), &pairs, 1);
        let read = read.unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!((read.key.as_str(), read.time), ("", None), "{kind}");
    }
}

/// Debezium's table: a uuid is the key, and there is no integer to order by.
#[tokio::test]
async fn a_debezium_table_is_drained_by_mapping_its_columns() {
    let stage = Stage::bare(
        r#"[[outbox]]
        name = "debezium"
        table = "public.outboxevent"
        stream = "outbox.event.{aggregatetype}"
        format = "debezium"
        [outbox.columns]
        id = "id"
        order = "created"
        event_id = "id"
        key = "aggregateid"
        type = "type"
        payload = "payload"
        headers = ""
        time = "created"
        "#,
    )
    .await;
    stage
        .sql(&format!(
            "create table outboxevent (id uuid primary key, aggregatetype varchar(255) not null, \
               aggregateid varchar(255) not null, type varchar(255) not null, payload jsonb, \
               created timestamp not null default clock_timestamp()); \
             insert into outboxevent select ('{ID}' || lpad(i::text, 2, '0'))::uuid, 'order', 'k' \
             || i % 2, 'T', \
               jsonb_build_object('n', i), timestamp '2026-01-01' - i * interval '1 second' from \
               generate_series(1, 9) i"
        ))
        .await;
    stage.migrate().await;
    stage.once().await;
    let entries = stage.entries("outbox.event.order").await;
    assert_eq!(entries[0], fields([("key", "k1"), ("value", "{\"n\": 9}")]));
    let order: Vec<&str> = entries.iter().map(|entry| entry.field("value")).collect();
    let expected: Vec<String> = (1..=9).rev().map(|n| format!("{{\"n\": {n}}}")).collect();
    assert_eq!(order, expected, "in the order of their time");
    stage.emptied("outboxevent").await;
}

#[tokio::test]
async fn a_partitioned_table_is_drained_in_order() {
    let stage = Stage::bare(&outbox("batch_rows = 7")).await;
    stage
        .sql(&format!(
            "create table outbox ({}, primary key (id, aggregate_type)) \
             partition by list (aggregate_type); \
             create table outbox_a partition of outbox for values in ('order'); \
             create table outbox_b partition of outbox default",
            event_columns("bigint generated always as identity")
        ))
        .await;
    stage.migrate().await;
    let numbered = crate::support::Numbered { rows: 100, keys: 3 };
    numbered.insert(&stage).await;
    stage.once().await;
    numbered.check(&stage, "events.order").await;
    stage.drained().await;
}
