//! Looks for rows of an event table by what people know of an event: its id, its key, its trace.
//! Only looks; it needs `select` of the mapped columns and nothing else.
//!
//! A value is compared in the type of its column, so that an index on it is used, and among texts
//! byte by byte, as the relay compares them. Without an index only the newest rows are looked at,
//! by the index of the order column, which every event table has.

mod known;
mod matched;

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};

use super::columns::{self, Column};
use super::key::{key, stream};
use crate::relay::options::{OutboxOptions, Settle};
use known::{Mapped, column};
use matched::{found, list};

pub use known::{NoLook, Wanted};
pub use matched::Match;

/// Rows that are looked at without an index.
pub const ROWS_MAX: i64 = 1_000_000;
/// Rows before a row are counted up to here.
pub const AHEAD_MAX: i64 = 100_000;
const IS_INDEXED: &str = include_str!("sql/is_indexed.sql");

/// Rows that come before another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// Of the outbox, counted up to [`AHEAD_MAX`].
    pub rows: i64,
    /// Of them, those of the same key.
    pub of_key: i64,
    /// Of them, those of the same stream.
    pub of_stream: i64,
}

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The rows, newest first.
    pub rows: Vec<Match>,
    /// Whether there is nothing that was not looked at.
    pub is_whole: bool,
    /// Whether an index led to the rows.
    pub by_index: bool,
    /// Only rows from this time on were looked at.
    pub since: Option<Timestamp>,
}

/// Looks at one event table.
#[derive(Debug, Clone)]
pub struct Lookup {
    mapped: Mapped,
    /// Which rows wait, of the alias `c`.
    waits: String,
}

impl Lookup {
    /// Looks up the columns. `waits`: the condition that a row of the alias `c` waits to be sent.
    ///
    /// # Errors
    /// The table or a mapped column is missing, or Postgres refused or is gone.
    pub async fn prepare(
        client: &Client,
        config: &OutboxOptions,
        waits: String,
    ) -> Result<Self, NoLook> {
        let columns = columns::of(client, &config.table).await?;
        if columns.is_empty() {
            return Err(NoLook::Lacking(format!("there is no table {}", config.table)));
        }
        let names = &config.columns;
        let fixed = [&names.id, &names.order, &names.event_id, &names.kind].map(String::as_str);
        let optional = [&names.key, &names.headers, &names.time].into_iter().flatten();
        let wanted = fixed.into_iter().chain(optional.map(String::as_str));
        for name in wanted.chain(config.stream.columns()) {
            if !columns.iter().any(|column| column.name == name) {
                return Err(NoLook::Lacking(format!("{} has no column {name:?}", config.table)));
            }
        }
        Ok(Self { mapped: Mapped { config: config.clone(), columns }, waits })
    }

    /// The value as Postgres prints it, which is how consumers see it.
    ///
    /// # Errors
    /// It is none of the column's type, or the table has no such column.
    pub async fn canonical(&self, client: &Client, wanted: &Wanted) -> Result<Wanted, NoLook> {
        let (name, column, value) = match wanted {
            Wanted::EventId(id) => ("columns.event_id", &self.mapped.config.columns.event_id, id),
            Wanted::Key(key) => ("columns.key", self.mapped.of("columns.key")?, key),
            Wanted::Trace(_) => {
                self.mapped.of("columns.headers")?;
                return Ok(wanted.clone());
            }
        };
        let Some(column) = self.mapped.columns.iter().find(|known| known.name == *column) else {
            return Ok(wanted.clone());
        };
        if column.category == "S" || column.kind == "bytea" {
            return Ok(wanted.clone());
        }
        let printed = format!("select ($1::text::{})::text", column.sql_type());
        let text = match client.query_typed(&printed, &[(value, Type::TEXT)]).await {
            Ok(rows) => rows.first().map(|row| row.get::<_, String>(0)).unwrap_or_default(),
            // The class of data exceptions.
            Err(error) if error.code().is_some_and(|code| code.code().starts_with("22")) => {
                return Err(NoLook::BadValue(format!(
                    "{value:?} is no {}, the type of the column {:?} of {} ({name})",
                    column.kind, column.name, self.mapped.config.table
                )));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(match wanted {
            Wanted::Key(_) => Wanted::Key(text),
            Wanted::EventId(_) | Wanted::Trace(_) => Wanted::EventId(text),
        })
    }

    /// The newest rows that fit, at most `limit`. `since`: if there are more than [`ROWS_MAX`] rows
    /// and no index, all rows with this time or a later one.
    ///
    /// # Errors
    /// Postgres refused or is gone; a look that takes too long is cancelled by the session's
    /// `statement_timeout`.
    pub async fn look(
        &self,
        client: &Client,
        wanted: &Wanted,
        since: Option<Timestamp>,
        limit: i64,
    ) -> Result<Looked, NoLook> {
        let (compared, condition, value) = self.mapped.condition(wanted)?;
        let by_index = match compared {
            None => false,
            Some(compared) => {
                let (schema, table) =
                    (self.mapped.config.table.schema(), self.mapped.config.table.table());
                let names: [(&(dyn ToSql + Sync), Type); 3] =
                    [(&schema, Type::TEXT), (&table, Type::TEXT), (&compared, Type::TEXT)];
                client.query_typed(IS_INDEXED, &names).await?.iter().any(|row| row.get(0))
            }
        };
        let (table, order) =
            (self.mapped.config.table.quoted(), column(&self.mapped.config.columns.order));
        let newest = format!("order by {order} desc nulls first");
        // A table that is no longer than what is looked at anyway is looked at whole.
        let is_whole = by_index || {
            let beyond = format!(
                "select exists (select from {table} as c {newest} offset {ROWS_MAX} limit 1)"
            );
            !client.query_typed(&beyond, &[]).await?.iter().any(|row| row.get(0))
        };
        let since = since.filter(|_| !is_whole && self.mapped.time().is_some());
        let recent = match self.mapped.time().filter(|_| since.is_some()) {
            Some(time) => format!(" and {time} >= $3::timestamptz"),
            None => String::new(),
        };
        let needed = self.mapped.needed();
        let from = if by_index {
            // `offset 0`: or the order of the result would be taken for a reason to walk the index
            // of the order column.
            format!("(select {needed} from {table} as c where {condition} offset 0) as c")
        } else if since.is_some() {
            format!("{table} as c")
        } else {
            format!("(select {needed} from {table} as c {newest} limit {ROWS_MAX}) as c")
        };
        let select = format!(
            "select {} from {from} where {condition}{recent} {newest} limit $2::bigint",
            list(&self.mapped, &self.waits)
        );
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> =
            vec![(&value, Type::TEXT), (&limit, Type::INT8)];
        if since.is_some() {
            params.push((&since, Type::TIMESTAMPTZ));
        }
        let rows = client.query_typed(&select, &params).await?;
        let rows: Vec<Match> = rows.iter().map(|row| found(&self.mapped, row)).collect();
        Ok(Looked { rows, is_whole, by_index, since })
    }

    /// How many rows wait before this one; `None`: it has no order value.
    ///
    /// # Errors
    /// As [`Lookup::look`].
    pub async fn ahead(&self, client: &Client, of: &Match) -> Result<Option<Ahead>, Error> {
        let Some(order) = &of.order else { return Ok(None) };
        let by = column(&self.mapped.config.columns.order);
        let kind =
            self.mapped.kind(&self.mapped.config.columns.order).map_or("bigint", Column::sql_type);
        // By the index that has the rows that wait at its end.
        let first = match &self.mapped.config.settle {
            Settle::Delete => String::new(),
            Settle::Keep(keep) => format!("{}, ", column(&keep.xid)),
        };
        let count = format!(
            "select count(*), count(*) filter (where a.k = $1), count(*) filter (where a.s = $2) \
             from (select {} as k, {} as s from {} as c where {} and {by} < $3::text::{kind} \
             order by {first}{by} limit {AHEAD_MAX}) as a",
            key(&self.mapped.config, 'c'),
            stream(&self.mapped.config, 'c'),
            self.mapped.config.table.quoted(),
            self.waits
        );
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&of.key_in_order, Type::TEXT), (&of.stream_in_sql, Type::TEXT), (order, Type::TEXT)];
        let rows = client.query_typed(&count, &params).await?;
        Ok(rows.first().map(|row| Ahead {
            rows: row.get(0),
            of_key: row.get(1),
            of_stream: row.get(2),
        }))
    }
}
