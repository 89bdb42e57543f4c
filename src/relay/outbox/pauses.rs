//! The rows of `outflow.pause` that count now.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::relay::pause::{Pause, Pauses};

/// `$1` the oid of the table.
pub(super) const PAUSES: &str = include_str!("sql/pauses.sql");

/// What is paused of this table.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn of(client: &Client, oid: u32) -> Result<Pauses, Error> {
    of_rows(&client.query_typed(PAUSES, &[(&oid, Type::OID)]).await?)
}

pub(super) fn of_rows(rows: &[Row]) -> Result<Pauses, Error> {
    rows.iter().map(of_row).collect::<Result<_, Error>>().map(Pauses::new)
}

/// A row with the columns that [`of`] reads. The constraints of the table keep each time within
/// what can be read.
///
/// # Errors
/// They were removed, and it cannot be read.
pub fn of_row(row: &Row) -> Result<Pause, Error> {
    Ok(Pause {
        stream: row.try_get("stream")?,
        why: row.try_get("why")?,
        since: row.try_get("since")?,
        until: row.try_get("until")?,
        os_user: row.try_get("os_user")?,
        host: row.try_get("host")?,
        role: row.try_get("role")?,
    })
}
