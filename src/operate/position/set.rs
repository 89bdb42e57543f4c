//! Sets from where a kept outbox goes on.
//!
//! Done under the fence, which relays take to recover: none can come in between. The journal is
//! raised, which closes it; then Postgres commits, so that what the new position has seen is
//! durable; then the position is installed in the journal. If this ends halfway, the journal stays
//! closed with its old position, and the next relay goes on from that.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Transaction};

use super::of::{Journaled, Part, Registered, as_copies, parts};
use crate::operate::audit::{Who, record};
use crate::operate::members;
use crate::relay::kept::history::History;
use crate::relay::kept::pieces::Pieces;
use crate::relay::kept::position::{BELOW_ALL, Position, Target};
use crate::relay::kept::snapshot::Snapshot;
use crate::relay::options::{Keep, OutboxOptions};
use crate::relay::outbox::kept::unread::{copies, unread};
use crate::relay::outbox::lock;
use outflow_connect::postgres::{self, scoped};
use outflow_connect::redis::Redis;
use outflow_core::fault::{Fault, FaultKind};
use outflow_core::table_name::{quote_identifier, quote_literal};

/// Rows that are counted at most.
const CAP: i64 = 1_000_000;
const SETTINGS: &str =
    "set statement_timeout = 0; set lock_timeout = '10s'; set row_security = off;";
/// Held on a session of its own until the journal is open again.
const BEGIN_FENCE: &str = "begin isolation level read committed read write; \
    set local lock_timeout = '5s'; set local idle_in_transaction_session_timeout = 0";
const FENCE: &str = "select pg_catalog.pg_advisory_xact_lock($1, $2)";
const GENERATION: &str =
    "select generation from outflow.outbox where relation = $1::oid for update";
const FORGET: &str = "delete from outflow.position where relation = $1::oid";
const COPY: &str = "insert into outflow.position \
    (relation, generation, member, batch, pieces, history) values ($1::oid, $2, $3, 0, $4, $5)";
const RAISE: &str = "update outflow.outbox set generation = $2 where relation = $1::oid";
/// The pieces are nobody's until the next relay shares them out: no member has this number.
const NOBODY: i32 = 0;

/// From where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Behind every row that is visible now.
    Now,
    /// Before every row that is kept.
    Beginning,
    /// Where the copies in Postgres are.
    Copy,
    /// Rows count as read up to the greatest order value of those from before this time.
    At(Timestamp),
    /// Rows count as read up to this order value.
    Id(i64),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// From where to go on.
    pub to: To,
    /// Find out what would happen, and change nothing.
    pub dry_run: bool,
    /// Also if the journal is that of another Postgres.
    pub take_over: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The outbox.
    pub outbox: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The generation that begins there; null in a dry run.
    pub generation: Option<i64>,
    /// Where it was.
    pub from: Vec<Part>,
    /// Where it is now.
    pub to: Vec<Part>,
    /// Rows that had been read and are sent again.
    pub sent_again: i64,
    /// Rows that had not been read and are not sent.
    pub skipped: i64,
    /// Whether one of the two is more than was counted.
    pub is_capped: bool,
    /// Rows with the transaction number of another server, which were given new ones.
    pub renumbered: u64,
}

/// Why nothing was done.
#[derive(Debug)]
pub enum Refused {
    /// Postgres refused or is gone.
    Postgres(tokio_postgres::Error),
    /// Something else.
    Fault(Fault),
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Sets the position. `fence` is a session of its own.
///
/// # Errors
/// [`Refused`]: nothing was changed, unless it says otherwise.
pub async fn set(
    fence: &Client,
    client: &mut Client,
    redis: &Redis,
    (outbox, keep): (&OutboxOptions, &Keep),
    registered: &Registered,
    request: &Request,
) -> Result<Moved, Refused> {
    let Some(server) = &registered.server else {
        let fault = Fault::new(FaultKind::ReadOnly, "this Postgres is a standby");
        return Err(fault.remedy("let postgres.url lead to the primary").into());
    };
    fence.batch_execute(BEGIN_FENCE).await?;
    close_off(fence, outbox, registered).await?;
    let journaled = Journaled::read(redis, outbox, registered).await.map_err(of_redis)?;
    is_ours(&journaled, server, outbox, request)?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(&scoped::local(&postgres::session(SETTINGS))).await?;
    let oid = (&registered.oid as &(dyn tokio_postgres::types::ToSql + Sync), Type::OID);
    let known = transaction.query_typed(GENERATION, std::slice::from_ref(&oid)).await?;
    let known: i64 = known.first().map_or(registered.generation, |row| row.get(0));
    let renumbered = renumber(&transaction, outbox, keep).await?;
    let now = now(&transaction, renumbered > 0).await?;
    let copies = copies(transaction.client(), registered.oid).await?;
    let copies = copies.map_err(Fault::failed)?;
    let copies: Vec<Pieces> = copies.into_iter().map(|copy| copy.pieces).collect();
    let from = if journaled.pieces.is_empty() { &copies } else { &journaled.pieces };
    let to = new_position(&transaction, (outbox, registered), &copies, now, &request.to).await?;
    let (sent_again, skipped) = differing(&transaction, (outbox, keep), from, &to).await?;
    let mut moved = Moved {
        outbox: outbox.name.clone(),
        dry_run: request.dry_run,
        generation: None,
        from: parts(from),
        to: parts(std::slice::from_ref(&to)),
        sent_again,
        skipped,
        is_capped: sent_again.max(skipped) >= CAP,
        renumbered,
    };
    if request.dry_run {
        transaction.rollback().await?;
        fence.batch_execute("rollback").await?;
        return Ok(moved);
    }
    let generation = journaled.journal.raise(known).await.map_err(of_redis)?.generation;
    let text = to.to_string();
    transaction.execute_typed(FORGET, std::slice::from_ref(&oid)).await?;
    let history = History { server: server.clone(), before: None }.to_string();
    let copy = [
        oid.clone(),
        (&generation, Type::INT8),
        (&NOBODY, Type::INT4),
        (&text, Type::TEXT),
        (&history, Type::TEXT),
    ];
    transaction.execute_typed(COPY, &copy).await?;
    transaction.execute_typed(RAISE, &[oid, (&generation, Type::INT8)]).await?;
    let (client, noted) = (transaction.client(), noted(&moved, &request.to));
    record(client, &Who::command_line(), "set position", &outbox.name, 0, &noted).await?;
    transaction.commit().await?;
    let installed = journaled.journal.install(generation, server, &[(NOBODY, text)]).await;
    installed.map_err(|why| {
        Fault::unreachable(format!("the position was not set: {why}"))
            .remedy("run the command again")
    })?;
    moved.generation = Some(generation);
    fence.batch_execute("rollback").await?;
    Ok(moved)
}

/// From here on no relay can begin. None may be at work.
async fn close_off(
    fence: &Client,
    outbox: &OutboxOptions,
    registered: &Registered,
) -> Result<(), Refused> {
    let (class, key) = (lock::FENCE, lock::key(registered.oid));
    let held = fence.query_typed(FENCE, &[(&class, Type::INT4), (&key, Type::INT4)]).await;
    let is_held =
        |error: &tokio_postgres::Error| error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE);
    let rows = match held {
        Err(error) if is_held(&error) => {
            let what = format!("a relay of {} is recovering", outbox.name);
            return Err(Fault::failed(what).remedy("stop every relay of it first").into());
        }
        Err(error) => return Err(error.into()),
        Ok(_) => members::of(fence, &outbox.table).await?,
    };
    let live = rows.iter().filter_map(|row| {
        let number: i32 = row.get::<_, Option<i32>>("number")?;
        let (host, pid): (String, i32) = (row.get("host"), row.get("pid"));
        Some(format!("#{number} on {host}, process {pid}"))
    });
    let live: Vec<String> = live.collect();
    if live.is_empty() {
        return Ok(());
    }
    let what = format!("relays of {} are at work: {}", outbox.name, live.join("; "));
    Err(Fault::failed(what).remedy("stop them first").into())
}

fn is_ours(
    journaled: &Journaled,
    server: &str,
    outbox: &OutboxOptions,
    request: &Request,
) -> Result<(), Fault> {
    let system = |server: &str| server.split(',').next().unwrap_or_default().to_owned();
    let theirs = journaled.state.as_ref().and_then(|state| state.server.as_deref());
    let Some(theirs) = theirs.filter(|theirs| system(theirs) != system(server)) else {
        return Ok(());
    };
    if request.take_over {
        return Ok(());
    }
    let what = format!(
        "the journal of {} in Redis belongs to another Postgres ({theirs}), and this is {server}",
        outbox.name
    );
    Err(Fault::failed(what).remedy(
        "check postgres.url and redis.url; if the other Postgres is gone for good (a restored \
            dump, pg_upgrade), add --take-over",
    ))
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn of_redis(why: String) -> Fault {
    Fault::unreachable(format!("Redis: {why}"))
}

/// Gives rows a new transaction number that have one which this server has not reached.
async fn renumber(
    transaction: &Transaction<'_>,
    outbox: &OutboxOptions,
    keep: &Keep,
) -> Result<u64, Refused> {
    let (table, xid) = (outbox.table.quoted(), quote_identifier(&keep.xid));
    let foreign = format!("{xid} >= pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())");
    // Most tables have none, and most roles may not update.
    let exists = format!("select exists (select from {table} where {foreign})");
    if !transaction.query_one(&exists, &[]).await?.get::<_, bool>(0) {
        return Ok(0);
    }
    let update = format!("update {table} set {xid} = default where {foreign}");
    match transaction.execute(&update, &[]).await {
        Ok(rows) => Ok(rows),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let what = format!("rows of {table} have transaction numbers of another server");
            let remedy = format!(
                "grant update ({xid}) on {table} to this role, or run this command as the owner"
            );
            Err(Fault::failed(what).remedy(remedy).because(error).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// What is visible now, and what this transaction has renumbered.
async fn now(transaction: &Transaction<'_>, renumbered: bool) -> Result<Snapshot, Refused> {
    let query = "select pg_catalog.pg_current_snapshot()::text, \
        pg_catalog.pg_current_xact_id_if_assigned()::text";
    let row = transaction.query_one(query, &[]).await?;
    let snapshot = Snapshot::parse(row.get(0)).map_err(|bad| Fault::failed(bad.to_string()))?;
    let own = row.get::<_, Option<&str>>(1).and_then(|own| own.parse().ok());
    Ok(match own.filter(|_| renumbered) {
        Some(own) => snapshot.including(own),
        None => snapshot,
    })
}

async fn new_position(
    transaction: &Transaction<'_>,
    (outbox, registered): (&OutboxOptions, &Registered),
    copies: &[Pieces],
    now: Snapshot,
    to: &To,
) -> Result<Pieces, Refused> {
    let (table, order) = (outbox.table.quoted(), quote_identifier(&outbox.columns.order));
    // What is not in the snapshot and comes up to there is delivered: it was committed late.
    let up_to = |mark: i64| {
        let target = Some(Target { snapshot: now.clone(), mark });
        Pieces::whole(Position { seen: Snapshot::nothing(), target, hint: mark })
    };
    Ok(match to {
        To::Now => {
            let newest = format!("select max(t.{order})::bigint from {table} as t");
            let newest: Option<i64> = transaction.query_one(&newest, &[]).await?.get(0);
            Pieces::whole(Position::behind(now, newest.unwrap_or(BELOW_ALL)))
        }
        To::Beginning => Pieces::whole(Position::beginning()),
        To::Id(id) => up_to(*id),
        To::At(time) => {
            let column = outbox.columns.time.as_ref().filter(|_| registered.has_time);
            let column = column.ok_or_else(|| {
                Fault::configuration("columns.time names no column, so rows have no time")
                    .remedy("use --id with an order value")
            })?;
            let last = format!(
                "select max(t.{order})::bigint from {table} as t \
                 where t.{}::timestamptz < $1::text::timestamptz",
                quote_identifier(column)
            );
            let time = time.to_string();
            let last = transaction.query_typed(&last, &[(&time, Type::TEXT)]).await?;
            let last: Option<i64> = last.first().and_then(|row| row.get(0));
            last.map_or_else(|| Pieces::whole(Position::beginning()), up_to)
        }
        To::Copy => copied(outbox, copies, &now)?,
    })
}

/// The copies of all members as one position.
fn copied(outbox: &OutboxOptions, copies: &[Pieces], now: &Snapshot) -> Result<Pieces, Fault> {
    let other = "use --now, --beginning, --at or --id";
    if copies.is_empty() {
        let what = format!("Postgres has no copy of the position of {}", outbox.name);
        return Err(Fault::failed(what).remedy(other));
    }
    let pieces = copies.iter().flat_map(Pieces::all);
    let reached = pieces.flat_map(|piece| {
        let target = piece.position.target.iter().map(|target| target.snapshot.xmax());
        target.chain([piece.position.seen.xmax()])
    });
    if reached.max().is_some_and(|xmax| xmax > now.xmax()) {
        let what = "the copy of the position knows transactions that this Postgres has not reached";
        return Err(Fault::failed(what).remedy(other));
    }
    let all = Pieces::share_out(copies, &[NOBODY; 64], &Position::beginning());
    Ok(all.into_values().next().unwrap_or_default())
}

/// How many rows are sent again, and how many are skipped.
async fn differing(
    transaction: &Transaction<'_>,
    (outbox, keep): (&OutboxOptions, &Keep),
    from: &[Pieces],
    to: &Pieces,
) -> Result<(i64, i64), Refused> {
    let table = outbox.table.quoted();
    let (order, xid) = (quote_identifier(&outbox.columns.order), quote_identifier(&keep.xid));
    let was_unread = unread(outbox, keep, &as_copies(from), 't');
    let is_unread = unread(outbox, keep, &as_copies(std::slice::from_ref(to)), 't');
    // What has a dead letter is never sent again.
    let is_dead = format!(
        "exists (select from outflow.dead_letter as d where d.outbox = {} \
         and d.kept = t.{order} and d.xid = t.{xid}::text and d.pending is null)",
        quote_literal(&outbox.name)
    );
    let count = format!(
        "select (select count(*) from (select from {table} as t where {is_unread} \
         and not {was_unread} and not {is_dead} limit {CAP}) as again), \
         (select count(*) from (select from {table} as t where {was_unread} and not {is_unread} \
         limit {CAP}) as skipped)"
    );
    let row = transaction.query_one(&count, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

/// As the audit has it.
fn noted(moved: &Moved, to: &To) -> Value {
    let to = match to {
        To::Now => json!("now"),
        To::Beginning => json!("beginning"),
        To::Copy => json!("copy"),
        To::At(time) => json!({ "at": time }),
        To::Id(id) => json!({ "id": id }),
    };
    let Moved { from, to: parts, sent_again, skipped, renumbered, .. } = moved;
    json!({
        "to": to, "from": from, "position": parts, "sent_again": sent_again, "skipped": skipped,
        "renumbered": renumbered,
    })
}
