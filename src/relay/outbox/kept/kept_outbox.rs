//! One kept event table that is read by one member.

use std::sync::Arc;

use super::super::PgOutbox;
use super::super::fence::Fence;
use super::super::servers::Servers;
use super::super::table::Table;
use super::known::Known;
use super::letters::Grave;
use super::reading::Shared;
use super::retention::{Retention, Teller};
use super::statements::Statements;
use crate::relay::kept::journal::Journal;
use crate::relay::options::{Keep, OutboxOptions};

/// A kept event table, read by one member.
pub struct KeptOutbox {
    pub(super) base: PgOutbox,
    pub(super) keep: Keep,
    pub(super) sql: Statements,
    pub(super) journal: Arc<Journal>,
    pub(super) shared: Arc<Shared>,
    pub(super) known: Arc<Known>,
    pub(super) grave: Arc<Grave>,
    pub(super) retention: Retention,
}

impl KeptOutbox {
    /// Prepares to read `table`; connects when first used. `sink` names where it appends to.
    pub fn new(
        config: OutboxOptions,
        keep: Keep,
        table: Table,
        (servers, sink): (Servers<'_>, &str),
        journal: Arc<Journal>,
        known: Arc<Known>,
    ) -> Self {
        let sql = Statements::new(&config, &keep, &table.list, table.oid, table.plain);
        let fence = Fence::new(&config, &table);
        let grave = Arc::new(Grave::new(&config.name, &table.sql.one.letters, fence));
        let base = PgOutbox::new(config, table, servers, sink);
        let (shared, retention) = (Arc::new(Shared::new()), Retention::new());
        Self { base, keep, sql, journal, shared, known, grave, retention }
    }

    /// What holds old rows back is told to this one.
    #[must_use]
    pub fn telling(self, teller: Teller) -> Self {
        Self { retention: self.retention.telling(teller), ..self }
    }

    /// The timeline of the server that the position is of.
    pub(super) fn timeline(&self) -> String {
        self.known.timeline()
    }

    pub(super) fn known(&self) -> (bool, Option<u32>) {
        self.known.of_read()
    }
}
