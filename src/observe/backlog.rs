//! How far behind an outbox is, seen from its table: the oldest event, and how many wait.

mod kept;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::columns::{self, Column};
use kept::Kept;
use outflow_connect::postgres::describe;
use outflow_core::table_name::quote_identifier;

/// Events are counted up to here: about 50 ms of Postgres's time.
pub const CAP: i64 = 100_000;
/// Events without an order value are counted up to here.
pub const UNORDERED_MAX: i64 = 1_000;
/// Where to start when nothing is known.
pub const BEGINNING: Place = Place { xid: 0, order: i64::MIN };

/// A place in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The transaction, of a kept outbox.
    pub xid: u64,
    /// The order value.
    pub order: i64,
}

/// What one look has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Events that wait, at most [`CAP`].
    pub events: i64,
    /// Where the first is, if its order value is an integer.
    pub position: Option<Place>,
    /// Time of the first, if the table has a column for that.
    pub oldest: Option<Timestamp>,
    /// Primary key of the first, as text.
    pub first: Option<String>,
}

/// Events without an order value. No claim reaches them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unordered {
    /// How many, at most [`UNORDERED_MAX`].
    pub events: i64,
    /// Primary key of one of them, as text.
    pub first: Option<String>,
}

impl Look {
    /// Adds the events without an order value.
    #[must_use]
    pub fn and(self, unordered: &Unordered) -> Self {
        let first = self.first.or_else(|| unordered.first.clone());
        Self { events: (self.events + unordered.events).min(CAP), first, ..self }
    }
}

/// The statement that looks at one outbox.
#[derive(Debug, Clone)]
pub struct Backlog {
    statement: String,
    parked: String,
    /// Only if claims go by position.
    unordered: Option<String>,
    /// Only unread rows wait. The statements say `{unread}` for that.
    kept: Option<Kept>,
    /// Whether looks can start from a position: the order column is an integer.
    pub has_position: bool,
}

impl Backlog {
    /// Looks up the columns and makes the statement.
    ///
    /// # Errors
    /// What is missing, or Postgres's own words.
    pub async fn prepare(client: &Client, config: &OutboxOptions) -> Result<Self, String> {
        let found = columns::of(client, &config.table).await.map_err(|error| describe(&error))?;
        if found.is_empty() {
            return Err(format!("there is no table {}", config.table));
        }
        let kind = |name: &str| {
            let column = found
                .iter()
                .find(|column: &&Column| column.name == name)
                .map(|column| column.kind.as_str());
            column.ok_or_else(|| format!("{} has no column {name:?}", config.table))
        };
        let order = quote_identifier(&config.columns.order);
        let has_position =
            matches!(kind(&config.columns.order)?, "smallint" | "integer" | "bigint");
        let time = match &config.columns.time {
            Some(name) => match kind(name)? {
                "timestamp with time zone" => format!("c.{}", quote_identifier(name)),
                "timestamp without time zone" => {
                    format!("c.{} at time zone 'UTC'", quote_identifier(name))
                }
                _ => "null::timestamptz".to_owned(),
            },
            None => "null::timestamptz".to_owned(),
        };
        let from = if has_position {
            format!("c.{order} >= $1::bigint")
        } else {
            "$1::bigint is not null".to_owned()
        };
        let position =
            if has_position { format!("c.{order}::bigint") } else { "null::bigint".to_owned() };
        let kept = match &config.settle {
            Settle::Delete => None,
            Settle::Keep(keep) => Some(Kept::new(config, keep)),
        };
        let (look, parked) = kept.as_ref().map_or_else(
            || (include_str!("backlog.sql").into(), include_str!("backlog.parked.sql").into()),
            Kept::statements,
        );
        let statement = look
            .replace("{table}", &config.table.quoted())
            .replace("{waiting}", &from)
            .replace("{order}", &order)
            .replace("{id}", &quote_identifier(&config.columns.id))
            .replace("{position}", &position)
            .replace("{time}", &time)
            .replace("{cap}", &CAP.to_string());
        let parked = parked
            .replace(
                "{stream}",
                &config.stream.sql(|column| format!("c.{}", quote_identifier(column))),
            )
            .replace("{table}", &config.table.quoted())
            .replace("{order}", &order)
            .replace("{cap}", &CAP.to_string());
        let id = quote_identifier(&config.columns.id);
        let unread = if kept.is_some() { "and {unread}" } else { "" };
        let unordered = has_position.then(|| {
            format!(
                "select count(*) as events, min(row) as first from ( \
                 select left(c.{id}::text, 200) as row from {} as c where \
                 c.{order} is null {unread} \
                 limit {UNORDERED_MAX}) as counted",
                config.table.quoted()
            )
        });
        Ok(Self { statement, parked, unordered, kept, has_position })
    }

    /// The statement of an outbox that deletes its rows; `$1` is the order value to start from.
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// Looks at the events from `place` on.
    ///
    /// # Errors
    /// Postgres's own words; a look that takes too long is cancelled by the session's
    /// `statement_timeout`.
    pub async fn look(&self, client: &Client, place: Place) -> Result<Look, String> {
        let statement = self.now(client, &self.statement).await?;
        let xid = place.xid.to_string();
        let of_kept: [&(dyn ToSql + Sync); 2] = [&xid, &place.order];
        let params = if self.kept.is_some() { &of_kept } else { &of_kept[1..] };
        let row = client.query_one(&*statement, params).await.map_err(|error| describe(&error))?;
        let xid = row.try_get::<_, Option<&str>>("xid").ok().flatten();
        let xid = xid.and_then(|xid| xid.parse().ok()).unwrap_or(0);
        // `infinity` is a time that jiff does not have.
        let oldest = row.try_get("time").unwrap_or(None);
        Ok(Look {
            events: row.get("events"),
            position: row.get::<_, Option<i64>>("position").map(|order| Place { xid, order }),
            oldest,
            first: row.get("id"),
        })
    }

    /// Counts the events without an order value.
    ///
    /// # Errors
    /// As [`Backlog::look`].
    pub async fn unordered(&self, client: &Client) -> Result<Unordered, String> {
        let Some(statement) = &self.unordered else { return Ok(Unordered::default()) };
        let statement = self.now(client, statement).await?;
        let row = client.query_one(&*statement, &[]).await.map_err(|error| describe(&error))?;
        Ok(Unordered { events: row.get("events"), first: row.get("first") })
    }

    /// How many of the first [`CAP`] events in line are for each of these streams.
    ///
    /// # Errors
    /// As [`Backlog::look`].
    pub async fn parked(
        &self,
        client: &Client,
        streams: &[String],
    ) -> Result<BTreeMap<String, i64>, String> {
        let statement = self.now(client, &self.parked).await?;
        let rows = client.query(&*statement, &[&streams]).await;
        let rows = rows.map_err(|error| describe(&error))?;
        Ok(rows.iter().map(|row| (row.get("stream"), row.get("events"))).collect())
    }

    async fn now<'a>(&self, client: &Client, statement: &'a str) -> Result<Cow<'a, str>, String> {
        match &self.kept {
            Some(kept) => kept.now(client, statement).await.map(Cow::Owned),
            None => Ok(Cow::Borrowed(statement)),
        }
    }
}
