//! Puts the parts of one relay together: those that delete the rows, or those that keep them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::observe::metrics::OutboxMetrics;
use crate::relay::encode::Encoder;
use crate::relay::kept::journal::Journal;
use crate::relay::kept::sink::KeptSink;
use crate::relay::options::{Keep, OutboxOptions, Settle};
use crate::relay::outbox::kept::{KeptOutbox, Known};
use crate::relay::outbox::servers::Servers;
use crate::relay::outbox::table::Table;
use crate::relay::outbox::{Outbox, PgOutbox};
use crate::relay::sink::written::Written;
use crate::relay::sink::{RedisSink, Sink};
use crate::relay::{Limits, Mode, Relay};
use outflow_connect::redis::Redis;
use outflow_core::fault::{Fault, FaultKind};

/// Between two looks at what recoveries have found.
const COUNT_PAUSE: Duration = Duration::from_secs(1);

/// What a relay is made of, beside its table.
pub(super) struct Parts<'a> {
    pub(super) outbox: &'a OutboxOptions,
    pub(super) servers: Servers<'a>,
    pub(super) redis: &'a Redis,
    /// Where Redis is, for members to compare.
    pub(super) place: &'a str,
    pub(super) written: &'a Arc<Written>,
    pub(super) metrics: &'a OutboxMetrics,
}

impl Parts<'_> {
    /// Relays until it is stopped or done, or until the table must be examined again: why.
    ///
    /// # Errors
    /// Somebody must decide before anything goes on.
    pub(super) async fn run(
        &self,
        table: Table,
        mode: Mode,
        stop: &CancellationToken,
    ) -> Result<Option<String>, Fault> {
        self.warn(&table);
        match &self.outbox.settle {
            Settle::Delete => {
                let sink = RedisSink::new(
                    self.redis.clone(),
                    &table.journal,
                    self.outbox.stream.hash_tag(),
                    Arc::clone(self.written),
                )
                .naming_by(&table.names);
                let source = PgOutbox::new(self.outbox.clone(), table, self.servers, self.place);
                Ok(Box::pin(self.relay(source, sink).run(mode, stop)).await)
            }
            Settle::Keep(keep) => self.run_kept(keep, table, mode, stop).await,
        }
    }

    async fn run_kept(
        &self,
        keep: &Keep,
        table: Table,
        mode: Mode,
        stop: &CancellationToken,
    ) -> Result<Option<String>, Fault> {
        let tag = self.outbox.stream.hash_tag();
        let journal = Arc::new(Journal::new(self.redis.clone(), &table.journal, tag));
        let known: Arc<Known> = Arc::default();
        let sink = KeptSink::new(Arc::clone(&journal), Arc::clone(self.written));
        let source = KeptOutbox::new(
            self.outbox.clone(),
            keep.clone(),
            table,
            (self.servers, self.place),
            journal,
            Arc::clone(&known),
        );
        let metrics = self.metrics.clone();
        let source = source.telling(Box::new(move |held| metrics.held_back(held)));
        let relay = self.relay(source, sink);
        let outcome = tokio::select! {
            outcome = Box::pin(relay.run(mode, stop)) => outcome,
            never = self.count_healed(&known) => match never {},
        };
        self.healed(&known);
        match known.halted() {
            Some(why) => Err(self.undecided(&why)),
            None => Ok(outcome),
        }
    }

    /// Keeps the metrics up to date with what recoveries find.
    async fn count_healed(&self, known: &Known) -> Infallible {
        loop {
            self.healed(known);
            tokio::time::sleep(COUNT_PAUSE).await;
        }
    }

    fn healed(&self, known: &Known) {
        let (events, rollbacks) = known.take_healed();
        self.metrics.healed(events, rollbacks);
    }

    fn relay<O: Outbox, S: Sink>(&self, source: O, sink: S) -> Relay<O, S> {
        let outbox = self.outbox;
        let encoder = Encoder {
            template: outbox.stream.clone(),
            format: outbox.format,
            event_bytes_max: outbox.event_bytes_max,
            source: Bytes::from(format!("/{}", outbox.name)),
        };
        let OutboxOptions { in_flight, poll_interval, linger, park_max, .. } = *outbox;
        let limits = Limits { in_flight, poll_interval, linger, park_max };
        let observer = Arc::new(self.metrics.clone());
        let relay = Relay::new(&outbox.name, source, sink, encoder, limits, observer);
        relay.heeding(self.metrics.holds().clone())
    }

    fn warn(&self, table: &Table) {
        if !table.has_trigger && self.outbox.notify {
            tracing::warn!(
                outbox = self.outbox.name,
                "the table has no wake-up trigger: the relay polls for new rows; `outflow migrate \
                    --triggers` adds the trigger"
            );
        }
        if !table.has_cursor {
            tracing::warn!(
                outbox = self.outbox.name,
                "columns.order is not an integer column: every claim scans from the beginning of \
                    the table"
            );
        }
    }

    fn undecided(&self, why: &str) -> Fault {
        let name = &self.outbox.name;
        Fault::new(FaultKind::Unfit, format!("outbox {name:?}: {why}")).remedy(format!(
            "decide from where to go on: `outflow position set --outbox {name} --copy` from the \
                copy in Postgres, `--beginning` with every row that is kept, `--now` with new rows"
        ))
    }
}
