//! A read as a trial, for `outflow check`: with the relay's statement, from the copies of the
//! positions. Nothing is appended, and no position moves.

use futures_util::TryStreamExt;
use tokio_postgres::Client;

use super::super::claim::limit::as_cap;
use super::super::row::Rows;
use super::read::{Asked, as_limit};
use super::statements::Statements;
use crate::relay::kept::healing::Copied;
use crate::relay::kept::pieces::{Next, Piece, Pieces};
use crate::relay::kept::position::Position;
use crate::relay::kept::table::Table;
use crate::relay::options::{Keep, OutboxOptions};

/// Rows that a trial reads at most.
const ROWS_MAX: usize = 100;

/// What a trial has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// Unread rows that were read.
    pub rows: usize,
    /// Whether there may be more.
    pub is_cut: bool,
    /// Why a row cannot be delivered as it is.
    pub bad: Option<String>,
}

/// Reads what no position has passed.
///
/// # Errors
/// The server's own words.
pub async fn try_out(
    client: &Client,
    config: &OutboxOptions,
    keep: &Keep,
    table: &Table,
    copies: &[Copied],
) -> Result<Trial, tokio_postgres::Error> {
    let sql = Statements::new(config, keep, &table.list, table.oid, table.plain);
    let read = client.prepare(&sql.read).await?;
    let all: Vec<Pieces> = if copies.is_empty() {
        vec![Pieces::whole(Position::beginning())]
    } else {
        copies.iter().map(|copy| copy.pieces.clone()).collect()
    };
    let marker = format!("\"{}\"", uuid::Uuid::new_v4());
    let bytes = config.event_bytes_max.max(config.batch_bytes);
    let cap = as_cap(bytes);
    let mut trial = Trial::default();
    for (piece, next) in all.iter().flat_map(turns) {
        let limit = as_limit(ROWS_MAX - trial.rows);
        let asked = Asked::new(piece, &next, (true, None));
        let params = asked.params(&limit, &cap, &marker);
        let rows = client.query_raw(&read, params).await?;
        let mut rows = std::pin::pin!(rows);
        let mut taken = Rows::new(&table.layout, bytes, &marker);
        let _header = rows.try_next().await?;
        while let Some(row) = rows.try_next().await? {
            trial.rows += 1;
            if let Err(bad) = taken.push(&row) {
                trial.bad = Some(bad.to_string());
            }
            if trial.bad.is_some() || trial.rows >= ROWS_MAX || taken.bytes() > config.batch_bytes {
                trial.is_cut = true;
                return Ok(trial);
            }
        }
    }
    Ok(trial)
}

/// What a relay reads in turn, whether parked or not.
fn turns(pieces: &Pieces) -> impl Iterator<Item = (&Piece, Next)> {
    pieces.turns(&[]).into_iter().map(|next| (&pieces.all()[next.index], next))
}
