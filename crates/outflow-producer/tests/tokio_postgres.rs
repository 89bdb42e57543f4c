//! With tokio-postgres and deadpool-postgres.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;

use outflow_local::Postgres;
use outflow_producer::tokio_postgres::Outbox;
use outflow_producer::{NewEvent, WriteErrorKind};
use support::{Call, Driver, End, Events, Failure};
use tokio_postgres::{Client, NoTls, Transaction};

struct TokioPostgres(Client);

impl Driver for TokioPostgres {
    async fn connect(url: &str) -> Self {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.expect("it is connected");
        // Ends when the client is dropped.
        drop(tokio::spawn(connection));
        Self(client)
    }

    async fn exists(&mut self, table: &str) -> bool {
        outbox(table).exists(&self.0).await.expect("it is answered")
    }

    async fn write(
        &mut self,
        table: &str,
        events: &Events<'_>,
        call: Call,
        end: End,
        between: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let transaction = self.0.transaction().await.expect("it begins");
        between.await;
        write(&outbox(table), &transaction, events, call).await?;
        match end {
            End::Commit => transaction.commit().await,
            End::Rollback => transaction.rollback().await,
        }
        .expect("it ends");
        Ok(())
    }
}

/// Takes what an insert takes.
const SIX: &str = "select $1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text";

/// With a prepared statement.
struct Deadpool(deadpool_postgres::Pool);

impl Driver for Deadpool {
    async fn connect(url: &str) -> Self {
        let config = url.parse().expect("an address");
        let manager = deadpool_postgres::Manager::new(config, NoTls);
        let pool = deadpool_postgres::Pool::builder(manager).max_size(1).build();
        Self(pool.expect("a pool"))
    }

    async fn exists(&mut self, table: &str) -> bool {
        let client = self.0.get().await.expect("it is connected");
        outbox(table).exists(&**client).await.expect("it is answered")
    }

    async fn write(
        &mut self,
        table: &str,
        events: &Events<'_>,
        call: Call,
        end: End,
        between: impl Future<Output = ()>,
    ) -> Result<(), Failure> {
        let mut client = self.0.get().await.expect("it is connected");
        let outbox = outbox(table);
        // Before the transaction: parsing locks the table until the transaction ends.
        let insert = client.prepare_cached(outbox.insert_sql()).await.expect("the table");
        let transaction = client.transaction().await.expect("it begins");
        between.await;
        write(&outbox.prepared(insert), &transaction, events, call).await?;
        match end {
            End::Commit => transaction.commit().await,
            End::Rollback => transaction.rollback().await,
        }
        .expect("it ends");
        Ok(())
    }
}

fn outbox(table: &str) -> Outbox {
    Outbox::new(table).expect("a table's name")
}

async fn write(
    outbox: &Outbox,
    transaction: &Transaction<'_>,
    events: &Events<'_>,
    call: Call,
) -> Result<(), Failure> {
    match call {
        Call::Write => {
            for event in events {
                support::sendable(outbox.write(transaction, event)).await?;
            }
        }
        Call::WriteMany => outbox.write_many(transaction, events).await?,
    }
    Ok(())
}

#[tokio::test]
async fn commits_and_rolls_back() {
    support::commits_and_rolls_back::<TokioPostgres>().await;
}

#[tokio::test]
async fn keeps_digits_in_every_column() {
    support::keeps_digits_in_every_column::<TokioPostgres>().await;
}

#[tokio::test]
async fn says_what_was_refused() {
    support::says_what_was_refused::<TokioPostgres>().await;
}

#[tokio::test]
async fn says_what_can_be_repeated() {
    support::says_what_can_be_repeated::<TokioPostgres>().await;
}

#[tokio::test]
async fn prepared_commits_and_rolls_back() {
    support::commits_and_rolls_back::<Deadpool>().await;
}

#[tokio::test]
async fn prepared_keeps_digits_in_every_column() {
    support::keeps_digits_in_every_column::<Deadpool>().await;
}

#[tokio::test]
async fn prepared_says_what_can_be_repeated() {
    support::says_what_can_be_repeated::<Deadpool>().await;
}

#[tokio::test]
async fn a_statement_of_another_connection_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Postgres::start(dir.path()).await.expect("Postgres starts");
    let other = TokioPostgres::connect(&server.url()).await;
    let insert = other.0.prepare(SIX).await.expect("it is prepared");
    let mut client = TokioPostgres::connect(&server.url()).await.0;
    let transaction = client.transaction().await.expect("it begins");
    let event = NewEvent::new("order", "1", "OrderCreated", "");
    let error = outbox("outbox").prepared(insert).write(&transaction, &event).await;
    let error = error.expect_err("it is unknown here");
    assert!(error.to_string().ends_with("on the connection of the transaction"), "{error}");
}

#[tokio::test]
async fn a_payload_that_is_no_json_leaves_the_transaction_usable() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Postgres::start(dir.path()).await.expect("Postgres starts");
    let mut client = TokioPostgres::connect(&server.url()).await.0;
    let transaction = client.transaction().await.expect("it begins");
    let payload = BTreeMap::from([((1, 2), 3)]);
    let event = NewEvent::new("order", "1", "OrderCreated", &payload);
    let error = outbox("outbox").write(&transaction, &event).await.expect_err("no JSON");
    let text = "cannot serialize the payload of the event: key must be a string";
    assert_eq!(error.to_string(), text);
    assert_eq!(error.kind(), WriteErrorKind::Event);
    assert!(error.source().is_some_and(<dyn Error + 'static>::is::<serde_json::Error>));
    let one: i32 = transaction.query_one("select 1", &[]).await.expect("it goes on").get(0);
    assert_eq!(one, 1);
}
