//! Rows that stay behind, whatever the reason: looked for without an order, which they may not
//! have.

use tokio_postgres::Client;

use super::kept::unread;
use crate::relay::options::{OutboxOptions, Settle};
use outflow_connect::postgres::failed;
use outflow_core::fault::Fault;
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

/// Some of the rows that wait; none if no row waits. Of a kept outbox, those that nobody has read.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn waiting(client: &Client, config: &OutboxOptions) -> Result<Vec<Waiting>, Fault> {
    let (id, order) =
        (quote_identifier(&config.columns.id), quote_identifier(&config.columns.order));
    let table = config.table.quoted();
    let which = match &config.settle {
        Settle::Delete => String::new(),
        Settle::Keep(keep) => {
            let unread = unread::waiting(client, config, keep, 't').await?;
            let xid = quote_identifier(&keep.xid);
            // In the order of an index, whose beginning is long read.
            format!("where {unread} order by t.{xid}, t.{order}")
        }
    };
    let sql = format!(
        "select coalesce(t.{id}::text, ''), t.{order} is not null from {table} as t {which} \
            limit {ROWS_MAX}"
    );
    let rows = client.query_typed(&sql, &[]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| Waiting { row: row.get(0), has_order: row.get(1) }).collect())
}
