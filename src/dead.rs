//! Dead letters, for the people who look after them: which there are, back into the outbox with
//! them, or away.
//!
//! Everything works on `outflow.dead_letter` alone, save [`put_back`], which writes into the event
//! tables.

mod audit;
mod documents;
mod put_back;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Client, Row, Transaction};

pub use audit::note;
pub use put_back::{PutBackError, put_back};

/// Which dead letters are meant; what is `None` filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// These only, by number.
    pub ids: Option<Vec<i64>>,
    /// Of this outbox.
    pub outbox: Option<String>,
    /// With this reason.
    pub reason: Option<String>,
    /// Meant for this stream.
    pub stream: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// With this ordering key.
    pub key: Option<String>,
    /// That died at this time or later.
    pub since: Option<Timestamp>,
    /// That died before this time.
    pub until: Option<Timestamp>,
    /// The first so many, in the order in which they died.
    pub limit: Option<i64>,
}

/// An event that could not be appended, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Letter {
    /// Its number among the dead letters.
    pub id: i64,
    /// Outbox it came from.
    pub outbox: String,
    /// Why it died.
    pub reason: String,
    /// Stream it was meant for, if that is known.
    pub stream: Option<String>,
    /// When it was moved here.
    pub died_at: Timestamp,
    /// Primary key of its row, as text.
    pub row: String,
    /// What consumers deduplicate by.
    pub event_id: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub time: Option<String>,
    /// Headers, as they were.
    pub headers: Option<String>,
    /// The columns of the stream template.
    pub route: Option<serde_json::Value>,
    /// Why it died, in words: the server's, if it said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Hexadecimal digits of what is no text: `key`, `type`, `headers`, and in `route` its columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<serde_json::Value>,
    /// What could not be kept, or had no value: it cannot be put back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Size of the payload.
    pub payload_bytes: i64,
    /// The payload, if it was asked for and is a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload in hexadecimal digits, if it was asked for and is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_hex: Option<String>,
}

/// A dead letter's number and outbox: enough to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its number.
    pub id: i64,
    /// Its outbox.
    pub outbox: String,
    /// Why it died.
    pub reason: String,
}

const CHOOSE: &str = include_str!("dead/sql/choose.sql");

/// The dead letters that pass `filter`, in the order in which they died.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn list(
    client: &Client,
    filter: &Filter,
    payloads: bool,
) -> Result<Vec<Letter>, tokio_postgres::Error> {
    let payload = if payloads { "payload" } else { "null::bytea as payload" };
    let columns = format!(
        "id, outbox, reason, stream, died_at, \"row\", event_id, key, type, time, headers, route, \
            detail, bytes, missing, \
         length(payload)::bigint + coalesce(pg_column_size(documents -> 'payload'), 0) as \
         payload_bytes, {payload}"
    );
    let mut letters: Vec<Letter> =
        select(client, &columns, filter).await?.iter().map(letter).collect();
    if payloads {
        for letter in &mut letters {
            documents::fill(client, letter).await?;
        }
    }
    Ok(letters)
}

/// As [`list`], without reading what is in them.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn choose(
    client: &Client,
    filter: &Filter,
) -> Result<Vec<Chosen>, tokio_postgres::Error> {
    let rows = select(client, "id, outbox, reason", filter).await?;
    Ok(rows
        .iter()
        .map(|row| Chosen { id: row.get(0), outbox: row.get(1), reason: row.get(2) })
        .collect())
}

impl Filter {
    /// Whether every letter passes. A limit chooses none: it only does less.
    pub fn is_empty(&self) -> bool {
        Self { limit: None, ..self.clone() } == Self::default()
    }
}

/// The reasons of the dead letters that there are: those of other versions too.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn reasons(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query_typed("select distinct reason from outflow.dead_letter order by reason", &[])
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Deletes these for good. Returns how many there were.
///
/// # Errors
/// Postgres refused or is gone; nothing was deleted unless the transaction is committed.
pub async fn discard(
    transaction: &Transaction<'_>,
    ids: &[i64],
) -> Result<u64, tokio_postgres::Error> {
    transaction.execute("delete from outflow.dead_letter where id = any ($1)", &[&ids]).await
}

async fn select(
    client: &Client,
    columns: &str,
    filter: &Filter,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let Filter { ids, outbox, reason, stream, kind, key, since, until, limit } = filter;
    client
        .query(
            &CHOOSE.replace("{columns}", columns),
            &[ids, outbox, reason, stream, since, limit, kind, key, until],
        )
        .await
}

fn letter(row: &Row) -> Letter {
    let payload: Option<&[u8]> = row.get("payload");
    let text =
        payload.map(|bytes| std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| hex(bytes)));
    let (payload, payload_hex) = match text {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(digits)) => (None, Some(digits)),
    };
    Letter {
        id: row.get("id"),
        outbox: row.get("outbox"),
        reason: row.get("reason"),
        stream: row.get("stream"),
        died_at: row.get("died_at"),
        row: row.get("row"),
        event_id: row.get("event_id"),
        key: row.get("key"),
        kind: row.get("type"),
        time: row.get("time"),
        headers: row.get("headers"),
        route: row.get("route"),
        detail: row.get("detail"),
        bytes: row.get("bytes"),
        missing: row.get::<_, Option<Vec<String>>>("missing").unwrap_or_default(),
        payload_bytes: row.get("payload_bytes"),
        payload,
        payload_hex,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to memory cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
