//! What `run --once` leaves behind. It has drained the outbox when nothing waits; what still waits
//! after another try stays there for a reason, which is told, and the exit code is 1.

use std::collections::BTreeSet;

use crate::observe::metrics::OutboxMetrics;
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::left::{self, Waiting};
use outflow_connect::postgres::{Server, connect};
use outflow_core::escape::{WHOLE, printable};
use outflow_core::fault::Fault;

/// The rows that were left the last time.
#[derive(Default)]
pub(super) struct Leftovers {
    known: Option<BTreeSet<String>>,
}

impl Leftovers {
    /// Whether another try is worth it: rows wait that may just have come.
    ///
    /// # Errors
    /// Rows wait that waited before the last try too: why.
    pub(super) async fn remain(
        &mut self,
        server: &Server,
        outbox: &OutboxOptions,
        metrics: &OutboxMetrics,
    ) -> Result<bool, Fault> {
        let client = connect(server).await.map_err(|fault| {
            if fault.kind().may_pass() { fault.at("cannot reach Postgres") } else { fault }
        })?;
        let waiting = left::waiting(&client, outbox).await?;
        let rows: BTreeSet<String> = waiting.iter().map(|row| row.row.clone()).collect();
        match self.known.replace(rows) {
            // None of those that come and go: what is new is for the next run.
            Some(known) => {
                let stay: Vec<&Waiting> =
                    waiting.iter().filter(|row| known.contains(&row.row)).collect();
                if stay.is_empty() {
                    Ok(false)
                } else {
                    Err(Fault::failed(why(outbox, &stay, metrics)))
                }
            }
            None => Ok(!waiting.is_empty()),
        }
    }
}

fn why(outbox: &OutboxOptions, stay: &[&Waiting], metrics: &OutboxMetrics) -> String {
    let parked = metrics.report().parked;
    let mut reasons: Vec<String> = parked
        .iter()
        .map(|parked| format!("stream {} refuses its events: {}", parked.stream, parked.reason))
        .collect();
    for pause in metrics.pauses() {
        if let Some(stream) = &pause.stream {
            let stream = printable(stream, WHOLE);
            reasons.push(format!("stream {stream} is paused {pause}"));
        }
    }
    let without = stay.iter().filter(|row| !row.has_order).count();
    if without > 0 {
        reasons.push(format!(
            "{without} of them have no value in the order column {:?}",
            outbox.columns.order
        ));
    }
    if reasons.is_empty() {
        let why = match outbox.settle {
            Settle::Delete => {
                "other sessions have locked them, another relay has them, or a trigger or a rule \
                    keeps them"
            }
            Settle::Keep(_) => {
                "another relay has them, or their transactions have numbers of another server"
            }
        };
        reasons.push(format!("{why}; `outflow check` looks for the cause"));
    }
    let first = stay.first().map(|row| row.row.as_str()).unwrap_or_default();
    let count = stay.len();
    format!(
        "outbox {:?}: {count} rows or more are left in {} (row {first} …): {}",
        outbox.name,
        outbox.table,
        reasons.join("; ")
    )
}
