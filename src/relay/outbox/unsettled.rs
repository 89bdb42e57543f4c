//! Rows that were appended, but that Postgres does not let go of: a trigger refuses or swallows the
//! delete since, a foreign key refers to the row, somebody has locked it. They must not be
//! delivered again, and must not keep all others waiting. So they are written down where the
//! journal's record ends, no claim takes them, and they are tried again now and then.

mod retry;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::OutboxError;
use super::naming::{Naming, Settling, split, text};
use super::refusal::ask;
use super::session::Session;
use crate::relay::event::AppendedRow;

/// If more are not let go, it is not the rows.
const ROWS_MAX: usize = 100;
/// Rows are tried one by one for so long.
const SINGLY_MAX: Duration = Duration::from_secs(20);
/// One of them, by the columns that its record names it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unsettled {
    pub(super) names: String,
    id: String,
    event_id: String,
    version: Option<String>,
    /// Its primary key by the present configuration.
    row: String,
    /// Why it stays.
    reason: String,
}

impl Unsettled {
    pub(super) fn of(appended: &AppendedRow) -> Result<Self, OutboxError> {
        let (id, version) = split(&appended.row)?;
        Ok(Self {
            names: text(&appended.names)?.to_owned(),
            id: id.to_owned(),
            event_id: text(&appended.event_id)?.to_owned(),
            version: version.map(str::to_owned),
            row: String::new(),
            reason: String::new(),
        })
    }

    /// Of a record whose journal says nothing, the recovery found out.
    pub(super) fn named_by(mut self, naming: &Naming) -> Self {
        self.names = naming.to_text();
        self
    }

    pub(super) fn names(&self) -> &str {
        &self.names
    }
}

/// What claims leave out.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    pub(super) rows: Vec<String>,
    pub(super) tried: Option<Instant>,
}

impl LeftOut {
    pub(super) fn of(unsettled: &[Unsettled]) -> Self {
        Self {
            rows: unsettled.iter().map(|row| row.row.clone()).collect(),
            tried: Some(Instant::now()),
        }
    }
}

pub(super) fn to_text(unsettled: &[Unsettled]) -> String {
    serde_json::to_string(unsettled).unwrap_or_else(|_| "[]".to_owned())
}

pub(super) fn of_text(text: &str) -> Result<Vec<Unsettled>, OutboxError> {
    serde_json::from_str(text).map_err(|_| {
        OutboxError::Postgres("outflow.outbox.unsettled is not what was written there".to_owned())
    })
}

/// In an open transaction. Returns how many rows left, and those that stay.
pub(super) async fn settle(
    client: &Session,
    settling: &Settling,
    rows: &[Unsettled],
) -> Result<(u64, Vec<Unsettled>), OutboxError> {
    let reason = match attempt(client, settling, rows).await? {
        Ok(settled) if settled == rows.len() as u64 => return Ok((settled, Vec::new())),
        Ok(settled) => {
            return Ok((settled, left(client, settling, rows, "a trigger keeps it").await?));
        }
        Err(reason) => reason,
    };
    if rows.len() == 1 {
        return Ok((0, left(client, settling, rows, &reason).await?));
    }
    let started = Instant::now();
    let mut settled = 0;
    let mut stay = Vec::new();
    for row in rows {
        let row = std::slice::from_ref(row);
        match attempt(client, settling, row).await? {
            Ok(count) => {
                settled += count;
                if count == 0 {
                    stay.extend(left(client, settling, row, "a trigger keeps it").await?);
                }
            }
            Err(reason) => stay.extend(left(client, settling, row, &reason).await?),
        }
        if stay.len() > ROWS_MAX || started.elapsed() > SINGLY_MAX {
            return Err(OutboxError::Postgres(reason));
        }
    }
    Ok((settled, stay))
}

/// `Err`: the server's words; nothing was done.
async fn attempt(
    client: &Session,
    settling: &Settling,
    rows: &[Unsettled],
) -> Result<Result<u64, String>, OutboxError> {
    ask(client.batch_execute("savepoint rows")).await?;
    let (ids, event_ids, versions) = columns(rows);
    match ask(client.execute(&settling.rows, &[&ids, &event_ids, &versions])).await {
        Ok(settled) => {
            ask(client.batch_execute("release rows")).await?;
            Ok(Ok(settled))
        }
        Err(failed) => {
            let words = failed.said()?.words;
            ask(client.batch_execute("rollback to rows; release rows")).await?;
            Ok(Err(words))
        }
    }
}

/// Those that are still there.
async fn left(
    client: &Session,
    settling: &Settling,
    rows: &[Unsettled],
    reason: &str,
) -> Result<Vec<Unsettled>, OutboxError> {
    let (ids, event_ids, versions) = columns(rows);
    let found = ask(client.query(&settling.left, &[&ids, &event_ids, &versions])).await?;
    if found.len() > ROWS_MAX {
        return Err(OutboxError::Postgres(format!(
            "rows that were appended are not let go: {reason}"
        )));
    }
    let stays = |found: &tokio_postgres::Row| {
        let at = usize::try_from(found.get::<_, i64>(0) - 1).ok()?;
        Some(Unsettled { row: found.get(1), reason: reason.to_owned(), ..rows.get(at)?.clone() })
    };
    Ok(found.iter().filter_map(stays).collect())
}

fn columns(rows: &[Unsettled]) -> (Vec<&str>, Vec<&str>, Vec<Option<&str>>) {
    let ids = rows.iter().map(|row| row.id.as_str()).collect();
    let event_ids = rows.iter().map(|row| row.event_id.as_str()).collect();
    (ids, event_ids, rows.iter().map(|row| row.version.as_deref()).collect())
}

/// Tells of those that were not known before.
pub(super) fn tell(outbox: &str, known: &[Unsettled], now: &[Unsettled]) {
    let is_known = |row: &Unsettled| {
        known.iter().any(|known| (&known.id, &known.names) == (&row.id, &row.names))
    };
    for Unsettled { row, event_id, reason, .. } in now.iter().filter(|row| !is_known(row)) {
        tracing::error!(
            outbox,
            row,
            event = event_id,
            reason,
            "Postgres refuses to delete a delivered event: its row stays in the table and \
                is not delivered again; the relay keeps retrying"
        );
    }
}
