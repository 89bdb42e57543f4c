//! What `outflow.audit` has: who did what, the newest first.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use outflow_connect::postgres::{SESSION, scoped};

/// Rows of a page at most.
pub const ROWS_MAX: usize = 50;
/// The index of its ids finds a page.
const LIMIT: Duration = Duration::from_secs(5);

/// Something that was done.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: String,
    /// To which outbox.
    pub outbox: String,
    /// How many dead letters or events it concerned.
    pub letters: i64,
    /// What was asked for.
    pub filter: Value,
    /// From where: `command line` or `console`.
    pub via: String,
    /// Who was logged in there; `None` from the command line.
    pub operator: Option<String>,
    /// The user of the operating system that the program ran as.
    pub os_user: String,
    /// On which host.
    pub host: String,
    /// With which role in Postgres.
    pub role: String,
    /// From which address Postgres was reached; `None`: through a socket of its machine.
    pub client_address: Option<String>,
}

/// A page of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The newest first, [`ROWS_MAX`] at most.
    pub deeds: Vec<Deed>,
    /// Whether there are older ones.
    pub has_more: bool,
}

/// What was done before the deed with this number, or the newest.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn page(client: &Client, before: Option<i64>) -> Result<Page, Error> {
    let limit = format!("set statement_timeout = '{}s';", LIMIT.as_secs());
    let begin = scoped::begin("read only", &[SESSION, &limit].concat());
    let rows = i64::try_from(ROWS_MAX + 1).unwrap_or(i64::MAX);
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&before, Type::INT8), (&rows, Type::INT8)];
    let asked = client.query_typed(include_str!("audit_log/page.sql"), &params);
    let found = scoped::looking(client, &begin, asked).await??;
    let deeds = found.iter().take(ROWS_MAX).map(deed).collect();
    Ok(Page { deeds, has_more: found.len() > ROWS_MAX })
}

fn deed(row: &Row) -> Deed {
    Deed {
        id: row.get("id"),
        at: row.get("at"),
        action: row.get("action"),
        outbox: row.get("outbox"),
        letters: row.get("letters"),
        filter: row.get("filter"),
        via: row.get("via"),
        operator: row.get("operator"),
        os_user: row.get("os_user"),
        host: row.get("host"),
        role: row.get("role"),
        client_address: row.get("client_address"),
    }
}
