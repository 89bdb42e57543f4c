//! How an outbox is registered, and who works on it.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::relay::outbox::lock;
use outflow_core::table_name::TableName;

/// A row for each live member, or one row without a member (`number` is null); none if the table is
/// not registered. Also in a transaction of the caller's.
///
/// # Errors
/// Postgres refused or is gone.
pub(super) async fn of(client: &Client, table: &TableName) -> Result<Vec<Row>, Error> {
    let (schema, name) = (table.schema(), table.table());
    client
        .query_typed(
            include_str!("members.sql"),
            &[
                (&schema, Type::TEXT),
                (&name, Type::TEXT),
                (&lock::SEAT, Type::INT4),
                (&lock::WAKE, Type::INT4),
            ],
        )
        .await
}
