//! Which rows of a kept table may go, as conditions in SQL. Pure.

use super::super::super::key::stream;
use super::super::unread::unread;
use crate::relay::kept::healing::Copied;
use crate::relay::options::{Keep, OutboxOptions};
use outflow_core::table_name::quote_identifier;

/// Conditions and expressions over the rows of the table as `t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The table.
    pub(super) table: String,
    /// Its order column.
    pub(super) order: String,
    /// Its column of the transaction.
    pub(super) xid: String,
    /// Whether a row is older than it is kept.
    pub(super) old: String,
    /// Whether some position has not passed it.
    pub(super) unread: String,
    /// Its stream.
    pub(super) stream: String,
}

impl Rules {
    /// `None`: the type of the time column, or that there is none, tells no age.
    pub fn new(
        config: &OutboxOptions,
        keep: &Keep,
        copies: &[Copied],
        time_type: Option<&str>,
    ) -> Option<Self> {
        let limit = format!(
            "pg_catalog.statement_timestamp() - pg_catalog.make_interval(secs => {})",
            keep.keep.as_secs()
        );
        // Without a zone a time is taken as UTC, as in the event.
        let limit = match time_type? {
            "timestamp with time zone" => limit,
            "timestamp without time zone" => format!("({limit}) at time zone 'UTC'"),
            "date" => format!("(({limit}) at time zone 'UTC')::date"),
            _ => return None,
        };
        let time = quote_identifier(config.columns.time.as_deref()?);
        Some(Self {
            table: config.table.quoted(),
            order: quote_identifier(&config.columns.order),
            xid: quote_identifier(&keep.xid),
            old: format!("coalesce(t.{time} < {limit}, false)"),
            unread: unread(config, keep, copies, 't'),
            stream: stream(config, 't'),
        })
    }
}
