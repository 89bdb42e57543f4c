//! Which rows have not been read yet, by the copies of the positions: for people, for metrics, and
//! for retention. What relays have read since the last copy counts as unread. Pure, but for the
//! copies.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::key::{key, stream};
use crate::relay::event::Acknowledged;
use crate::relay::kept::healing::Copied;
use crate::relay::kept::pieces::{Piece, Pieces};
use crate::relay::options::{Keep, OutboxOptions};
use outflow_connect::postgres::failed;
use outflow_core::fault::Fault;
use outflow_core::table_name::{quote_identifier, quote_literal};

pub(super) const COPIES: &str = "select generation, member, batch, pieces, copied_at \
    from outflow.position where relation = $1::oid";
const OID: &str = "select pg_catalog.to_regclass($1)::oid";

/// The copies of an outbox's positions; none before its first start.
///
/// # Errors
/// Postgres refused or is gone; the inner one: a copy cannot be read.
pub async fn copies(
    client: &Client,
    oid: u32,
) -> Result<Result<Vec<Copied>, String>, tokio_postgres::Error> {
    let rows = client.query_typed(COPIES, &[(&oid, Type::OID)]).await?;
    Ok(rows.iter().map(copied).collect())
}

pub(super) fn copied(row: &tokio_postgres::Row) -> Result<Copied, String> {
    let batch: i64 = row.get(2);
    let pieces = Pieces::parse(row.get(3))
        .map_err(|error| format!("outflow.position cannot be read: {error}"))?;
    let at = Acknowledged {
        generation: row.get(0),
        member: row.get(1),
        batch: u64::try_from(batch).unwrap_or(0),
    };
    Ok(Copied { at, pieces })
}

/// The condition that rows of this alias wait, by the copies as they are now.
///
/// # Errors
/// Postgres refused or is gone, or a copy cannot be read.
pub async fn waiting(
    client: &Client,
    config: &OutboxOptions,
    keep: &Keep,
    of: char,
) -> Result<String, Fault> {
    Ok(unread(config, keep, &copies_of(client, config).await?, of))
}

/// The copies of the positions of an outbox whose table is known by its name.
///
/// # Errors
/// As [`waiting`].
pub async fn copies_of(client: &Client, config: &OutboxOptions) -> Result<Vec<Copied>, Fault> {
    let table = config.table.quoted();
    let found = client.query_typed(OID, &[(&table, Type::TEXT)]).await.map_err(failed)?;
    let Some(oid) = found.first().and_then(|row| row.get::<_, Option<u32>>(0)) else {
        return Err(Fault::failed(format!("there is no table {}", config.table)));
    };
    copies(client, oid).await.map_err(failed)?.map_err(Fault::failed)
}

/// A condition in SQL: whether a row of this alias is unread. The first part of it is a range of
/// the index by transactions.
pub fn unread(config: &OutboxOptions, keep: &Keep, copies: &[Copied], of: char) -> String {
    let pieces: Vec<&Piece> = copies.iter().flat_map(|copy| copy.pieces.all()).collect();
    let xid = format!("{of}.{}", quote_identifier(&keep.xid));
    let Some(first) = pieces.iter().map(|piece| piece.position.seen.xmin()).min() else {
        return "true".to_owned();
    };
    let apart: Vec<&Piece> =
        pieces.iter().copied().filter(|piece| piece.stream.is_some()).collect();
    let conditions: Vec<String> =
        pieces.iter().map(|piece| condition(config, piece, &apart, &xid, of)).collect();
    format!("({xid} >= '{first}'::xid8 and ({}))", conditions.join(" or "))
}

fn condition(
    config: &OutboxOptions,
    piece: &Piece,
    apart: &[&Piece],
    xid: &str,
    of: char,
) -> String {
    let order = format!("{of}.{}", quote_identifier(&config.columns.order));
    let (key, stream) = (key(config, of), stream(config, of));
    let mut parts = vec![format!(
        "not pg_catalog.pg_visible_in_snapshot({xid}, '{}'::pg_snapshot)",
        piece.position.seen
    )];
    if let Some(target) = &piece.position.target {
        parts.push(format!(
            "not (pg_catalog.pg_visible_in_snapshot({xid}, '{}'::pg_snapshot) and {order} <= {})",
            target.snapshot, target.mark
        ));
    }
    let in_slots = |slots: i64| {
        format!("({slots}::bigint >> (hashtextextended({key}, 0) & 63)::integer) & 1 = 1")
    };
    if piece.slots != crate::relay::outbox::slots::ALL {
        parts.push(in_slots(piece.slots));
    }
    match &piece.stream {
        Some(name) => parts.push(format!("{stream} = {}", quote_literal(name))),
        None => {
            for other in apart.iter().filter(|other| other.slots & piece.slots != 0) {
                let name = quote_literal(other.stream.as_deref().unwrap_or_default());
                parts.push(format!("not ({stream} = {name} and {})", in_slots(other.slots)));
            }
        }
    }
    format!("({})", parts.join(" and "))
}
