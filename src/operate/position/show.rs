//! How far a kept outbox has been read: by the journal, and by the copies in Postgres.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::of::{Journaled, Part, Registered, parts};
use crate::relay::kept::pieces::Pieces;
use crate::relay::options::{Keep, OutboxOptions};
use crate::relay::outbox::kept::unread::{copies, unread};
use outflow_core::table_name::quote_identifier;

/// Rows that are counted, or looked at, at most.
const CAP: i64 = 100_000;
const TIMES: &str =
    "select generation, member, copied_at from outflow.position where relation = $1::oid";

/// An outbox and its positions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// Its name.
    pub outbox: String,
    /// Its table.
    pub table: String,
    /// What Redis has; null: nothing.
    pub journal: Option<JournalOf>,
    /// What Postgres has.
    pub copies: Vec<Copy>,
    /// The time of the newest row that was read, as far as the copies know; null: there is none
    /// among the newest 100,000 rows, or rows have no time.
    pub newest_read_at: Option<Timestamp>,
    /// Rows that were not read, as far as the copies know.
    pub unread_rows: i64,
    /// Whether there are more than were counted.
    pub unread_is_capped: bool,
}

/// The journal in Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JournalOf {
    /// Its key.
    pub key: String,
    /// The generation in force.
    pub generation: i64,
    /// Whether members may append.
    pub open: bool,
    /// Which Postgres it belongs to.
    pub server: Option<String>,
    /// Whether that is this one, as far as it is known.
    pub is_of_this_server: bool,
    /// Each member.
    pub members: Vec<MemberOf>,
}

/// A member in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberOf {
    /// Its number.
    pub member: i32,
    /// Its last batch in this generation.
    pub batch: u64,
    /// How far it has read.
    pub parts: Vec<Part>,
}

/// A copy in Postgres.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Copy {
    /// Of which generation.
    pub generation: i64,
    /// Of which member.
    pub member: i32,
    /// Behind which batch.
    pub batch: u64,
    /// When it was made.
    pub copied_at: Option<Timestamp>,
    /// How far.
    pub parts: Vec<Part>,
}

/// Looks at both servers; changes nothing.
///
/// # Errors
/// Postgres refused or is gone; the inner one: a copy cannot be read.
pub async fn show(
    client: &Client,
    outbox: &OutboxOptions,
    keep: &Keep,
    registered: &Registered,
    journaled: &Journaled,
) -> Result<Result<Shown, String>, tokio_postgres::Error> {
    let copies = match copies(client, registered.oid).await? {
        Ok(copies) => copies,
        Err(why) => return Ok(Err(why)),
    };
    let times = client.query_typed(TIMES, &[(&registered.oid, Type::OID)]).await?;
    let copied_at = |generation: i64, member: i32| {
        let mut rows = times.iter();
        rows.find(|row| row.get::<_, i64>(0) == generation && row.get::<_, i32>(1) == member)
            .map(|row| row.get(2))
    };
    let unread = unread(outbox, keep, &copies, 't');
    let (table, order) = (outbox.table.quoted(), quote_identifier(&outbox.columns.order));
    let count = format!(
        "select count(*) from (select from {table} as t where {unread} limit {CAP}) as counted"
    );
    let unread_rows: i64 = client.query_one(&count, &[]).await?.get(0);
    let newest_read_at = match outbox.columns.time.as_ref().filter(|_| registered.has_time) {
        None => None,
        Some(time) => {
            let time = quote_identifier(time);
            let newest = format!(
                "select n.time from (select t.{time}::timestamptz as time, t.{order} as o, \
                 {unread} as is_unread from {table} as t order by t.{order} desc limit {CAP}) as n \
                 where not n.is_unread order by n.o desc limit 1"
            );
            client.query_opt(&newest, &[]).await?.and_then(|row| row.get(0))
        }
    };
    let copies = copies.iter().map(|copy| Copy {
        generation: copy.at.generation,
        member: copy.at.member,
        batch: copy.at.batch,
        copied_at: copied_at(copy.at.generation, copy.at.member),
        parts: parts(std::slice::from_ref(&copy.pieces)),
    });
    Ok(Ok(Shown {
        outbox: outbox.name.clone(),
        table: outbox.table.to_string(),
        journal: journal(registered, journaled),
        copies: copies.collect(),
        newest_read_at,
        unread_rows,
        unread_is_capped: unread_rows >= CAP,
    }))
}

fn journal(registered: &Registered, journaled: &Journaled) -> Option<JournalOf> {
    let state = journaled.state.as_ref()?;
    let last = |member: i32| {
        let is_it = |at: &&crate::relay::event::Acknowledged| {
            at.generation == state.generation && at.member == member
        };
        state.last.iter().find(is_it).map_or(0, |at| at.batch)
    };
    let member = |((number, _), pieces): (&(i32, String), &Pieces)| MemberOf {
        member: *number,
        batch: last(*number),
        parts: parts(std::slice::from_ref(pieces)),
    };
    let servers = state.server.as_ref().zip(registered.server.as_ref());
    Some(JournalOf {
        key: journaled.journal.key().to_owned(),
        generation: state.generation,
        open: state.open,
        server: state.server.clone(),
        is_of_this_server: servers.is_none_or(|(theirs, ours)| theirs == ours),
        members: state.members.iter().zip(&journaled.pieces).map(member).collect(),
    })
}
