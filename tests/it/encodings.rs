//! Databases whose encoding is not UTF-8: events are delivered as they are, and what has no text
//! there stops nobody.

use outflow_local::{eventually, session};

use crate::support::{LIMIT, Stage, outbox};

/// `Ж` as bytes is a text in UTF-8, which not every encoding knows; others are no text at all.
const ROWS: &str = "insert into outbox (aggregate_type, aggregate_id) values \
    ('order', '\\xff00fe'), ('order', '\\xd096'), ('', '\\xff00fe'), ('', '\\xd096'), ('order', \
    'k'); \
    insert into outbox (aggregate_type, aggregate_id, payload) values ('order', '\\xd096', \
    repeat('x', 2000000))";

#[tokio::test]
async fn a_database_of_another_encoding_is_drained_and_its_dead_letters_are_whole() {
    let stage = Stage::bare(&outbox("event_bytes_max = \"1MiB\"\nbatch_bytes = \"1MiB\"")).await;
    let (server, name) = stage
        .postgres
        .url()
        .rsplit_once('/')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a url");
    for (encoding, umlaut, expected) in
        [("LATIN1", "E'\\xfc'", "ü"), ("WIN1251", "E'\\xc6'", "Ж"), ("SQL_ASCII", "'u'", "u")]
    {
        let database = encoding.to_lowercase();
        stage
            .sql(&format!(
                "create database {database} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' \
                    template template0"
            ))
            .await;
        assert_ne!(database, name);
        let url = format!("{server}/{database}");
        let client = session(&url).await.expect("a connection");
        client
            .batch_execute(
                "create table outbox (id bigint generated always as identity primary key, \
                 event_id uuid not null default gen_random_uuid(), aggregate_type text not null, \
                 aggregate_id bytea, \
                 event_type text default 'T', payload text default '{}', headers text, created_at \
                 timestamptz default now())",
            )
            .await
            .expect("a table");
        let env = [("OUTFLOW_POSTGRES__URL", url.as_str())];
        stage.asked_with(&["migrate", "--triggers"], &env).await.data();
        stage.command("DEL", &["events.order"]).await;
        client.batch_execute(ROWS).await.expect("rows");
        let own = format!(
            "set client_encoding = '{encoding}'; insert into outbox (aggregate_type, \
                aggregate_id, payload) \
             values ('order', 'own', {umlaut}); reset client_encoding"
        );
        client.batch_execute(&own).await.expect("a row");

        let mut relay = stage.outflow_with(&database, &["run"], &env);
        eventually(LIMIT, "the rows to be taken", async || {
            client
                .query_one("select count(*) from outbox", &[])
                .await
                .is_ok_and(|row| row.get::<_, i64>(0) == 0)
        })
        .await
        .unwrap_or_else(|error| panic!("{encoding}: {error}: {}", relay.log_tail()));
        assert!(
            !relay.log().contains("outcome of a batch is unknown"),
            "{encoding}: {}",
            relay.log_tail()
        );
        relay.kill();

        let entries = stage.entries("events.order").await;
        assert_eq!(entries.len(), 4, "{encoding}");
        assert_eq!(entries[3].field("payload"), expected, "{encoding}");
        let letters = "select count(*) from outflow.dead_letter where reason = 'no_stream'";
        assert_eq!(
            client.query_one(letters, &[]).await.expect("a number").get::<_, i64>(0),
            2,
            "{encoding}"
        );
        stage.asked_with(&["check"], &env).await.data();
        stage.asked_with(&["dead", "show", "1", "2", "3"], &env).await.data();
        stage.asked_with(&["dead", "retry", "--yes"], &env).await.data();
        let back = "select string_agg(encode(aggregate_id, 'hex') || ' ' || length(payload), ', ' \
            order by id) from outbox";
        let back: String = client.query_one(back, &[]).await.expect("rows").get(0);
        assert_eq!(back, "ff00fe 2, d096 2, d096 2000000", "{encoding}");
    }
}
