//! With sea-orm.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

mod support;

use std::future::Future;

use outflow_producer::sea_orm::Outbox;
use sea_orm::{ConnectOptions, Database, DatabaseConnection, TransactionTrait};
use support::{Call, Driver, End, Events, Failure};

struct SeaOrm(DatabaseConnection);

impl Driver for SeaOrm {
    async fn connect(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options.max_connections(1);
        Self(Database::connect(options).await.expect("it is connected"))
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
        let transaction = self.0.begin().await.expect("it begins");
        between.await;
        let outbox = outbox(table);
        match call {
            Call::Write => {
                for event in events {
                    support::sendable(outbox.write(&transaction, event)).await?;
                }
            }
            Call::WriteMany => outbox.write_many(&transaction, events).await?,
        }
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

#[tokio::test]
async fn commits_and_rolls_back() {
    support::commits_and_rolls_back::<SeaOrm>().await;
}

#[tokio::test]
async fn keeps_digits_in_every_column() {
    support::keeps_digits_in_every_column::<SeaOrm>().await;
}

#[tokio::test]
async fn says_what_was_refused() {
    support::says_what_was_refused::<SeaOrm>().await;
}

#[tokio::test]
async fn says_what_can_be_repeated() {
    support::says_what_can_be_repeated::<SeaOrm>().await;
}
