//! Reads rows of a kept table once more: those that were delivered, and that a filter takes.
//!
//! A replay reads what one snapshot sees, in the order of the order column; how far it is, is a
//! position like any other, in a journal of its own.

use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::super::claim::limit::as_cap;
use super::super::key::{key, stream};
use super::super::one::numbered;
use super::super::refusal::failed;
use super::super::row::Rows;
use super::super::table::Table;
use super::unread::unread;
use crate::relay::event::Batch;
use crate::relay::kept::healing::Copied;
use crate::relay::kept::pieces::{Piece, Pieces};
use crate::relay::kept::position::{BELOW_ALL, Extent, Position, Target};
use crate::relay::kept::snapshot::Snapshot;
use crate::relay::options::{Keep, OutboxOptions};
use crate::relay::outbox::OutboxError;
use outflow_core::table_name::quote_identifier;

const NOW: &str = "select pg_catalog.pg_current_snapshot()::text";
/// As the sessions of a relay. The first statement counts what there is, which may be every row of
/// the table: somebody waits for it, and can end it.
const SESSION: &str = "set plan_cache_mode = force_generic_plan; set jit = off; \
    set row_security = off; set statement_timeout = '1h'; set lock_timeout = '1min'";
/// Who ends it ends the count, too. Servers before Postgres 14 do not know it.
const NOTICE_CLIENT: &str = "set client_connection_check_interval = '10s'";
/// Each read goes on by the index of the order column. With the statistics of a table that was just
/// filled, it would scan and sort the whole table each time.
const BY_INDEX: &str =
    "set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off";

/// Which rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct What {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// From this order value on.
    pub from_id: Option<i64>,
    /// Of this stream.
    pub stream: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// Of this key.
    pub key: Option<String>,
}

/// What a replay would send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// How many events.
    pub events: i64,
    /// Time of the first, if the table has times.
    pub first: Option<Timestamp>,
    /// Time of the last.
    pub last: Option<Timestamp>,
    /// Time of the first row that the table still has, whatever the filter.
    pub kept_since: Option<Timestamp>,
}

/// Reads for one replay.
pub struct Reader {
    config: OutboxOptions,
    table: Table,
    what: What,
    read: String,
    count: String,
    marker: String,
}

/// Rows, and where the replay is behind them.
pub struct Step {
    /// The rows.
    pub batch: Batch,
    /// The position behind them.
    pub after: Position,
}

impl Reader {
    /// `copies`: what was delivered; the rest of the table is the relay's to send.
    pub fn new(
        config: &OutboxOptions,
        keep: &Keep,
        table: Table,
        copies: &[Copied],
        what: What,
    ) -> Self {
        let wanted = wanted(config, keep, copies, &what);
        let (name, order) = (config.table.quoted(), quote_identifier(&config.columns.order));
        let xid = quote_identifier(&keep.xid);
        let list = numbered(&table.list, "$9", "$10").join(", ");
        let read = format!(
            "select {list} from {name} as t where t.{order} > $1::bigint \
             and pg_visible_in_snapshot(t.{xid}, $2::text::pg_snapshot) and {wanted} \
             and ($9::integer is not null and $10::text is not null) \
             order by t.{order} fetch first ($11::bigint) rows with ties"
        );
        let time = config.columns.time.as_ref().map_or("null::timestamptz".to_owned(), |time| {
            format!("t.{}::timestamptz", quote_identifier(time))
        });
        let count = format!(
            "select count(*), min({time}), max({time}), (select min({time}) from {name} as t) \
             from {name} as t where t.{order} > $1::bigint \
             and pg_visible_in_snapshot(t.{xid}, $2::text::pg_snapshot) and {wanted}"
        );
        let marker = format!("\"{}\"", uuid::Uuid::new_v4());
        Self { config: config.clone(), table, what, read, count, marker }
    }

    /// Prepares the session, and returns the position before the first row.
    ///
    /// # Errors
    /// Postgres refused or is gone.
    pub async fn begin(&self, client: &Client) -> Result<Pieces, OutboxError> {
        client.batch_execute(SESSION).await.map_err(|error| failed(&error))?;
        if let Err(error) = client.batch_execute(NOTICE_CLIENT).await {
            tracing::debug!(%error, "a count goes on if the command is ended");
        }
        let row = client.query_typed_one(NOW, &[]).await.map_err(|error| failed(&error))?;
        let snapshot = Snapshot::parse(row.get(0));
        let snapshot = snapshot.map_err(|error| OutboxError::Postgres(error.to_string()))?;
        let mark = self.what.from_id.map_or(BELOW_ALL, |id| id.saturating_sub(1));
        let target = Some(Target { snapshot, mark });
        let position = Position { target, ..Position::beginning() };
        Ok(Pieces::whole(position))
    }

    /// What there is to send, behind a position.
    ///
    /// # Errors
    /// Postgres refused or is gone.
    pub async fn extract(&self, client: &Client, at: &Position) -> Result<Extract, OutboxError> {
        let (mark, snapshot) = (at.mark(), snapshot(at));
        let asked = self.filter(&mark, &snapshot);
        let row = client.query_one(&self.count, &asked).await.map_err(|error| failed(&error))?;
        Ok(Extract {
            events: row.get(0),
            first: row.get(1),
            last: row.get(2),
            kept_since: row.get(3),
        })
    }

    /// Prepares the session for reads, and the statement for [`next`](Self::next). Whoever counts
    /// does so before: a count reads all rows anyway.
    ///
    /// # Errors
    /// Postgres refused or is gone.
    pub async fn by_index(&self, client: &Client) -> Result<Statement, OutboxError> {
        client.batch_execute(BY_INDEX).await.map_err(|error| failed(&error))?;
        client.prepare(&self.read).await.map_err(|error| failed(&error))
    }

    /// The next rows behind a position; `None`: there are no more.
    ///
    /// # Errors
    /// Postgres refused or is gone, or a row cannot be read.
    pub async fn next(
        &self,
        (client, read): (&Client, &Statement),
        at: &Position,
    ) -> Result<Option<Step>, OutboxError> {
        let bytes = self.config.event_bytes_max.max(self.config.batch_bytes);
        let (mark, snapshot, cap) = (at.mark(), snapshot(at), as_cap(bytes));
        let limit = i64::try_from(self.config.batch_rows).unwrap_or(i64::MAX);
        let mut params: Vec<&(dyn ToSql + Sync)> = self.filter(&mark, &snapshot).to_vec();
        params.extend([&cap as &(dyn ToSql + Sync), &self.marker, &limit]);
        let rows = client.query_raw(read, params).await.map_err(|error| failed(&error))?;
        let mut rows = std::pin::pin!(rows);
        let mut taken = Rows::new(&self.table.layout, bytes, &self.marker);
        let mut last = None;
        while let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
            taken.push(&row).map_err(|bad| {
                let behind =
                    last.map_or("at the beginning".to_owned(), |id| format!("behind {id}"));
                OutboxError::Postgres(format!("the row {behind} cannot be replayed: {bad}"))
            })?;
            let order = taken.last_order();
            // Rows of one id stay together.
            if order != last && taken.bytes() > self.config.batch_bytes && taken.len() > 1 {
                break;
            }
            last = order;
        }
        let (mut batch, _) = taken.finish();
        let fits = batch.events.iter().take_while(|event| event.order <= last).count();
        batch.events.truncate(fits);
        batch.route.truncate(fits * batch.route_width);
        let Some(last) = last else { return Ok(None) };
        let after = at.after(&Snapshot::nothing(), Extent::UpTo(last));
        Ok(Some(Step { batch, after }))
    }

    fn filter<'a>(&'a self, mark: &'a i64, snapshot: &'a String) -> [&'a (dyn ToSql + Sync); 8] {
        let What { since, until, from_id, stream, kind, key } = &self.what;
        [mark, snapshot, since, until, from_id, stream, kind, key]
    }
}

/// The piece of a replay, which is the only one.
pub fn piece(pieces: &Pieces) -> Option<&Piece> {
    pieces.all().first()
}

fn snapshot(at: &Position) -> String {
    at.target.as_ref().map_or(&at.seen, |target| &target.snapshot).to_string()
}

fn wanted(config: &OutboxOptions, keep: &Keep, copies: &[Copied], what: &What) -> String {
    let names = &config.columns;
    let column = |name: &str| format!("t.{}", quote_identifier(name));
    let (order, xid) = (column(&names.order), column(&keep.xid));
    let time = names.time.as_ref().map_or("null::timestamptz".to_owned(), |name| column(name));
    // A bound that is not given costs nothing; given, it may be an index condition.
    let bound = |given: bool, sql: String, parameter: &str, kind: &str| {
        if given { sql } else { format!("{parameter}::{kind} is null") }
    };
    let unread = unread(config, keep, copies, 't');
    format!(
        "{} and {} and {} and ($6::text is null or {} = $6) \
         and ($7::text is null or {}::text = $7) and ($8::text is null or {} = $8) \
         and not {unread} \
         and (select d.kept from outflow.dead_letter d where d.outbox = {} \
         and d.kept = {order} and d.xid = {xid}::text) is null",
        bound(what.since.is_some(), format!("{time} >= $3::timestamptz"), "$3", "timestamptz"),
        bound(what.until.is_some(), format!("{time} < $4::timestamptz"), "$4", "timestamptz"),
        bound(what.from_id.is_some(), format!("{order} >= $5::bigint"), "$5", "bigint"),
        stream(config, 't'),
        column(&names.kind),
        key(config, 't'),
        outflow_core::table_name::quote_literal(&config.name),
    )
}
