//! Rows that stay behind, whatever the reason: looked for without an order, which they may not
//! have.

use tokio_postgres::Client;

use crate::relay::options::{OutboxOptions, Settle};
use outflow_core::table_name::quote_identifier;

/// Rows that are looked at.
const ROWS_MAX: usize = 100;

/// A row that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its primary key, as text.
    pub row: String,
    /// Whether it has an order value: without one no claim comes to it.
    pub has_order: bool,
}

/// Some of the rows that wait; none if no row waits.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn waiting(
    client: &Client,
    config: &OutboxOptions,
) -> Result<Vec<Waiting>, tokio_postgres::Error> {
    let unsettled = match &config.settle {
        Settle::Delete => String::new(),
        Settle::Mark(column) => format!("where {} is null", quote_identifier(column)),
    };
    let (id, order) =
        (quote_identifier(&config.columns.id), quote_identifier(&config.columns.order));
    let table = config.table.quoted();
    let sql = format!(
        "select coalesce({id}::text, ''), {order} is not null from {table} {unsettled} limit \
            {ROWS_MAX}"
    );
    let rows = client.query_typed(&sql, &[]).await?;
    Ok(rows.iter().map(|row| Waiting { row: row.get(0), has_order: row.get(1) }).collect())
}
