//! The mapped columns of an event table, as a look compares and returns them. Pure.

use std::collections::BTreeSet;

use tokio_postgres::Error;

use super::super::columns::Column;
use crate::relay::options::{OutboxOptions, Settle};
use outflow_core::table_name::quote_identifier;

/// What is known of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Its id.
    EventId(String),
    /// Its ordering key.
    Key(String),
    /// The id of its trace: 32 hexadecimal digits in lower case.
    Trace(String),
}

/// Why there can be no look.
#[derive(Debug)]
pub enum NoLook {
    /// The value is none of its column's type.
    BadValue(String),
    /// What the table lacks.
    Lacking(String),
    /// Postgres refused or is gone.
    Failed(Error),
}

impl From<Error> for NoLook {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An outbox and the columns of its table.
#[derive(Debug, Clone)]
pub(super) struct Mapped {
    pub(super) config: OutboxOptions,
    pub(super) columns: Vec<Column>,
}

impl Mapped {
    /// Every column that a look compares or returns, of the alias `c`. Not all columns: the role
    /// need not be able to read the others.
    pub(super) fn needed(&self) -> String {
        let names = &self.config.columns;
        let fixed = [&names.id, &names.order, &names.event_id, &names.kind].map(String::as_str);
        let optional = [&names.key, &names.headers, &names.time].into_iter().flatten();
        let xid = match &self.config.settle {
            Settle::Delete => None,
            Settle::Keep(keep) => Some(keep.xid.as_str()),
        };
        let all = fixed.into_iter().chain(optional.map(String::as_str)).chain(xid);
        let all: BTreeSet<&str> = all.chain(self.config.stream.columns()).collect();
        all.into_iter().map(column).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn kind(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// An optional column of the mapping.
    pub(super) fn of(&self, key: &str) -> Result<&String, NoLook> {
        let names = &self.config.columns;
        let name = if key == "columns.key" { &names.key } else { &names.headers };
        let lacking = || format!("{key} names no column of {}", self.config.table);
        name.as_ref().ok_or_else(|| NoLook::Lacking(lacking()))
    }

    /// The column that is compared, if an index can help; the condition; and its parameter.
    pub(super) fn condition(
        &self,
        wanted: &Wanted,
    ) -> Result<(Option<&String>, String, String), NoLook> {
        let (name, value) = match wanted {
            Wanted::EventId(id) => (&self.config.columns.event_id, id),
            Wanted::Key(key) => (self.of("columns.key")?, key),
            Wanted::Trace(id) => {
                let headers = column(self.of("columns.headers")?);
                let pattern = format!("\"traceparent\"\\s*:\\s*\"[0-9a-f]{{2}}-{id}-");
                return Ok((None, format!("{headers}::text ~ $1"), pattern));
            }
        };
        let column = column(name);
        let Some(Column { kind, category, .. }) = self.kind(name) else {
            return Ok((None, format!("{column}::text = $1"), value.clone()));
        };
        let typed = self.kind(name).map_or(kind.as_str(), Column::sql_type);
        Ok(match (kind.as_str(), category.as_str()) {
            ("bytea", _) => {
                let digits = value.strip_prefix("\\x").map(str::to_owned);
                let is_hex = |text: &String| {
                    text.len().is_multiple_of(2)
                        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
                };
                let digits = digits.filter(is_hex);
                let digits = digits.unwrap_or_else(|| outflow_core::escape::hex(value.as_bytes()));
                (Some(name), format!("{column} = pg_catalog.decode($1, 'hex')"), digits)
            }
            // What a collation takes for equal need not be the same.
            (_, "S") => {
                let same = format!("{column}::text collate \"C\" = $1");
                (Some(name), format!("{column} = $1::text::{typed} and {same}"), value.clone())
            }
            _ => (Some(name), format!("{column} = $1::text::{typed}"), value.clone()),
        })
    }

    /// As a moment, if it is one.
    pub(super) fn time(&self) -> Option<String> {
        let name = self.config.columns.time.as_ref()?;
        let column = column(name);
        Some(match self.kind(name)?.kind.as_str() {
            "timestamp with time zone" => column,
            // Without a zone it is taken as UTC.
            "timestamp without time zone" => format!("{column} at time zone 'UTC'"),
            _ => format!("{column}::timestamptz"),
        })
    }
}

/// A column of the table, which is `c`.
pub(super) fn column(name: &str) -> String {
    format!("c.{}", quote_identifier(name))
}
