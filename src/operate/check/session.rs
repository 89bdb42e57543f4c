//! A question to Postgres, which leaves nothing in the session.

use tokio_postgres::Client;

use outflow_connect::postgres::scoped;

/// For each question's own transaction: a session may belong to an application, behind a pooler.
pub(super) const BEGIN: &str =
    "begin read only; set local statement_timeout = '10s'; set local lock_timeout = '1s'";

/// One question, in a transaction of its own.
pub(super) async fn looking<T>(
    client: &Client,
    question: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    scoped::looking(client, BEGIN, question).await?
}
