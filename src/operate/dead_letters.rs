//! Dead letters: list them, retry them (back into the outbox), or discard them.
//!
//! Everything works on `outflow.dead_letter` alone, save [`put_back`], which writes into the event
//! tables.

mod act;
mod audit;
mod documents;
mod groups;
mod letter;
mod many;
mod page;
mod put_back;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Transaction};

pub use act::{Act, SETTINGS, act};
pub use audit::{note, shown};
pub use groups::{Group, Groups, groups};
pub use letter::{Chosen, Filter, Letter};
pub use many::{Count, count, many};
pub use page::{one, page};
pub use put_back::put_back;

const CHOOSE: &str = include_str!("dead_letters/sql/choose.sql");
const DISCARD: &str = "delete from outflow.dead_letter where id = any ($1) and kept is null";
const RETIRE: &str = "update outflow.dead_letter set retired_at = clock_timestamp() \
    where id = any ($1) and kept is not null and pending is null and retired_at is null";

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
            documents::fill(client, letter, documents::TEXT_MAX).await?;
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
    /// Whether the filter selects every dead letter. A limit alone counts as no filter.
    pub fn is_empty(&self) -> bool {
        Self { limit: None, first: None, last: None, ..self.clone() } == Self::default()
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

/// Deletes these dead letters permanently; those of a kept outbox are retired instead, because they
/// keep their rows from being sent. Returns how many there were.
///
/// # Errors
/// Postgres refused or is gone; nothing was deleted unless the transaction is committed.
pub async fn discard(
    transaction: &Transaction<'_>,
    ids: &[i64],
) -> Result<u64, tokio_postgres::Error> {
    let deleted = transaction.execute(DISCARD, &[&ids]).await?;
    // Whoever has no letters of the other kind needs no privilege for this.
    if !put_back::are_kept(transaction, ids).await? {
        return Ok(deleted);
    }
    Ok(deleted + transaction.execute(RETIRE, &[&ids]).await?)
}

async fn select(
    client: &Client,
    columns: &str,
    filter: &Filter,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.query(&CHOOSE.replace("{columns}", columns), &params(filter)).await
}

/// The parameters of [`CHOOSE`].
fn params(filter: &Filter) -> [&(dyn ToSql + Sync); 11] {
    let Filter { ids, outbox, reason, stream, kind, key, since, until, first, last, limit } =
        filter;
    [ids, outbox, reason, stream, since, limit, kind, key, until, last, first]
}

fn letter(row: &Row) -> Letter {
    let payload: Option<&[u8]> = row.get("payload");
    let text = payload.map(|bytes| {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| outflow_core::escape::hex(bytes))
    });
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
