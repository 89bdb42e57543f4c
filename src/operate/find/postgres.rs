//! The Postgres side of a search: rows, and dead letters of the relay.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::found::{FoundLetter, TableLook};
use crate::operate::position::{Journaled, as_copies, registered};
use crate::relay::options::{Keep, OutboxOptions, Settle};
use crate::relay::outbox::kept::unread;
use crate::relay::outbox::lookup::{AHEAD_MAX, Ahead, Lookup, Match, NoLook, ROWS_MAX, Wanted};
use outflow_connect::postgres::{self, describe, scoped};
use outflow_connect::redis::Redis;
use outflow_core::table_name::{quote_identifier, quote_literal};

/// Plans as the relay does, but what an index finds may be sorted. A look without an index reads up
/// to a million rows.
const SESSION: &str = "set statement_timeout = '60s'; set lock_timeout = '1s'; \
    set enable_sort = on; set enable_bitmapscan = on;";
/// Rows before which others are counted.
const COUNTED_MAX: usize = 20;

/// What is asked of each outbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) since: Option<Timestamp>,
    pub(super) limit: usize,
}

/// What one outbox has.
#[derive(Debug, Default)]
pub(super) struct OfOutbox {
    /// Rows, newest first; with the rows before those that wait.
    pub(super) rows: Vec<(Match, Option<Ahead>)>,
    /// Dead letters, newest first.
    pub(super) letters: Vec<LetterOf>,
    /// Whether there are more than was asked for.
    pub(super) has_more: bool,
    /// The value as Postgres prints it.
    pub(super) canonical: Option<Wanted>,
    /// The value is none of the column's type.
    pub(super) bad_value: Option<String>,
    /// Names the journal.
    pub(super) journal: Option<String>,
    /// The members that own the slots.
    pub(super) owners: Vec<i32>,
    /// What was looked at.
    pub(super) look: TableLook,
}

/// A dead letter and its event.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LetterOf {
    pub(super) event_id: String,
    pub(super) key: Option<String>,
    pub(super) kind: String,
    pub(super) time: Option<String>,
    pub(super) letter: FoundLetter,
}

/// Looks at one outbox. What cannot be found out is in the answer.
///
/// # Errors
/// The session is lost.
pub(super) async fn ask(
    client: &Client,
    outbox: &OutboxOptions,
    redis: Option<&Redis>,
    ask: Ask<'_>,
) -> Result<OfOutbox, String> {
    let mut found = OfOutbox {
        look: TableLook {
            outbox: outbox.name.clone(),
            table: outbox.table.to_string(),
            ..TableLook::default()
        },
        ..OfOutbox::default()
    };
    match owners(client, outbox).await {
        Ok(Some((owners, journal))) => {
            found.owners = owners;
            found.journal = Some(journal);
        }
        Ok(None) => {
            let problem = "the table is not registered; run `outflow migrate`";
            found.look.problems.push(problem.to_owned());
        }
        Err(error) => found.look.problems.push(words(&error)?),
    }
    let waits = match &outbox.settle {
        Settle::Delete => "true".to_owned(),
        Settle::Keep(keep) => match waits(client, outbox, keep, redis, &mut found.look).await {
            Ok(waits) => waits,
            Err(problem) => {
                found.look.problems.push(problem);
                return Ok(found);
            }
        },
    };
    let settings = [postgres::SESSION, crate::relay::outbox::SESSION, SESSION].concat();
    // One snapshot: a row that dies or comes back meanwhile is found as one of both.
    let begin = scoped::begin("isolation level repeatable read, read only", &settings);
    let looked = look(client, outbox, waits, ask, &mut found);
    let looked = scoped::looking(client, &begin, looked).await.map_err(|lost| describe(&lost))?;
    match looked {
        Ok(()) => {}
        Err(NoLook::BadValue(what)) => found.bad_value = Some(what),
        Err(NoLook::Lacking(what)) => found.look.problems.push(what),
        Err(NoLook::Failed(error)) => found.look.problems.push(words(&error)?),
    }
    Ok(found)
}

async fn look(
    client: &Client,
    outbox: &OutboxOptions,
    waits: String,
    Ask { wanted, since, limit }: Ask<'_>,
    found: &mut OfOutbox,
) -> Result<(), NoLook> {
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let lookup = Lookup::prepare(client, outbox, waits).await?;
    let canonical = match lookup.canonical(client, wanted).await {
        Ok(canonical) => canonical,
        // Its events have no such thing: there is nothing to be found.
        Err(NoLook::Lacking(what)) => {
            found.look.notes.push(what);
            found.look.is_complete = true;
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    found.canonical = Some(canonical.clone());
    let looked = lookup.look(client, &canonical, since, more).await?;
    found.look.by_index = Some(looked.by_index);
    found.look.is_complete = looked.is_whole;
    found.look.since = looked.since;
    if !looked.is_whole && found.look.since.is_none() {
        found.look.notes.push(format!("looked at the newest {ROWS_MAX} rows only"));
    }
    found.has_more = looked.rows.len() > limit;
    for row in looked.rows.into_iter().take(limit) {
        let counted = found.rows.iter().filter(|(_, ahead)| ahead.is_some()).count();
        let is_counted = row.waits && counted < COUNTED_MAX;
        let ahead = if is_counted { lookup.ahead(client, &row).await? } else { None };
        found.rows.push((row, ahead));
    }
    found.letters = letters(client, outbox, &canonical, more).await?;
    found.has_more |= found.letters.len() > limit;
    found.letters.truncate(limit);
    Ok(())
}

/// Whether a count reached its limit.
pub(super) fn is_capped(ahead: &Ahead) -> bool {
    ahead.rows >= AHEAD_MAX
}

/// The condition that a kept row waits: by the journal if it can be read, else by the copies.
async fn waits(
    client: &Client,
    outbox: &OutboxOptions,
    keep: &Keep,
    redis: Option<&Redis>,
    look: &mut TableLook,
) -> Result<String, String> {
    let unread = if let Some(unread) = by_journal(client, outbox, keep, redis).await {
        unread
    } else {
        look.notes.push(
            "whether a row was sent is told by the copy of the position in Postgres, which can be \
                a second or so old"
                .to_owned(),
        );
        let waiting = unread::waiting(client, outbox, keep, 'c').await;
        waiting.map_err(|fault| fault.to_string())?
    };
    Ok(format!(
        "({unread} and not exists (select from outflow.dead_letter as d where d.outbox = {} \
         and d.kept = c.{} and d.xid = c.{}::text and d.pending is null))",
        quote_literal(&outbox.name),
        quote_identifier(&outbox.columns.order),
        quote_identifier(&keep.xid)
    ))
}

/// `None`: there is no journal, it cannot be read, or it is of another Postgres.
async fn by_journal(
    client: &Client,
    outbox: &OutboxOptions,
    keep: &Keep,
    redis: Option<&Redis>,
) -> Option<String> {
    let registered = registered(client, outbox).await.ok()??;
    let journaled = Journaled::read(redis?, outbox, &registered).await.ok()?;
    let state = journaled.state.as_ref()?;
    let servers = state.server.as_ref().zip(registered.server.as_ref());
    let is_ours = servers.is_none_or(|(theirs, ours)| theirs == ours);
    let is_usable = is_ours && journaled.pieces.iter().any(|pieces| !pieces.all().is_empty());
    is_usable.then(|| unread::unread(outbox, keep, &as_copies(&journaled.pieces), 'c'))
}

async fn owners(
    client: &Client,
    outbox: &OutboxOptions,
) -> Result<Option<(Vec<i32>, String)>, Error> {
    let (schema, table) = (outbox.table.schema(), outbox.table.table());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&schema, Type::TEXT), (&table, Type::TEXT)];
    let rows = client.query_typed(include_str!("sql/owners.sql"), &params).await?;
    Ok(rows.first().map(|row| (row.get("slots"), row.get("journal"))))
}

async fn letters(
    client: &Client,
    outbox: &OutboxOptions,
    wanted: &Wanted,
    limit: i64,
) -> Result<Vec<LetterOf>, Error> {
    let (mut event_id, mut key, mut headers) = (None, None, None);
    match wanted {
        Wanted::EventId(id) => event_id = Some(id),
        Wanted::Key(value) => key = Some(value),
        Wanted::Trace(id) => headers = Some(format!("\"traceparent\"\\s*:\\s*\"..-{id}-")),
    }
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&outbox.name, Type::TEXT),
        (&event_id, Type::TEXT),
        (&key, Type::TEXT),
        (&headers, Type::TEXT),
        (&limit, Type::INT8),
    ];
    let rows = client.query_typed(include_str!("sql/letters.sql"), &params).await?;
    let letter = |row: &tokio_postgres::Row| LetterOf {
        event_id: row.get("event_id"),
        key: row.get("key"),
        kind: row.get("type"),
        time: row.get("time"),
        letter: FoundLetter {
            id: row.get("id"),
            outbox: outbox.name.clone(),
            reason: row.get("reason"),
            detail: row.get("detail"),
            stream: row.get("stream"),
            died_at: row.get("died_at"),
            retired_at: row.get("retired_at"),
        },
    };
    Ok(rows.iter().map(letter).collect())
}

/// What Postgres said, and what to do about it.
///
/// # Errors
/// The session is lost.
fn words(error: &Error) -> Result<String, String> {
    let reason = describe(error);
    match error.code().map(tokio_postgres::error::SqlState::code) {
        None => Err(reason),
        Some("42501") => Ok(format!(
            "{reason}: run the command as a role that may read it, such as outflow_operator"
        )),
        Some("42P01" | "3F000" | "42703") => Ok(format!("{reason}: run `outflow migrate`")),
        Some("57014") => Ok(format!(
            "{reason}: the column has no index; look at fewer rows with --since, or create one"
        )),
        Some(_) => Ok(reason),
    }
}
