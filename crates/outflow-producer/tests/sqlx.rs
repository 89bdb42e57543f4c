//! With sqlx.

#![allow(clippy::disallowed_methods, reason = "their tasks end with their runtime")]

mod support;

use std::future::Future;

use outflow_producer::sqlx::Outbox;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use support::{Call, Driver, End, Events, Failure};

struct Sqlx(PgPool);

impl Driver for Sqlx {
    async fn connect(url: &str) -> Self {
        Self(PgPoolOptions::new().max_connections(1).connect(url).await.expect("it is connected"))
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
        let mut transaction = self.0.begin().await.expect("it begins");
        between.await;
        let outbox = outbox(table);
        match call {
            Call::Write => {
                for event in events {
                    support::sendable(outbox.write(&mut transaction, event)).await?;
                }
            }
            Call::WriteMany => outbox.write_many(&mut transaction, events).await?,
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
    support::commits_and_rolls_back::<Sqlx>().await;
}

#[tokio::test]
async fn keeps_digits_in_every_column() {
    support::keeps_digits_in_every_column::<Sqlx>().await;
}

#[tokio::test]
async fn says_what_was_refused() {
    support::says_what_was_refused::<Sqlx>().await;
}

#[tokio::test]
async fn says_what_can_be_repeated() {
    support::says_what_can_be_repeated::<Sqlx>().await;
}
