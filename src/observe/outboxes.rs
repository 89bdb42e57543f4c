//! The outboxes at work, as probes, systemd and the log see them. A reload changes who they are.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::observe::metrics::{Deliveries, OutboxMetrics, OutboxState};

/// Who is at work, in the order of the configuration. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Outboxes(Arc<Mutex<Vec<OutboxMetrics>>>);

impl Outboxes {
    /// The state of each outbox.
    pub fn state(&self) -> Vec<OutboxState> {
        self.outboxes().iter().map(OutboxMetrics::state).collect()
    }

    /// The same, with how long its deliveries took.
    pub(crate) fn figures(&self) -> Vec<(OutboxState, Deliveries)> {
        self.outboxes().iter().map(|outbox| (outbox.state(), outbox.deliveries())).collect()
    }

    /// Brings series up to date that nobody counts.
    pub(crate) fn show_holds(&self) {
        self.outboxes().iter().for_each(OutboxMetrics::show_holds);
    }

    /// These are at work from here on.
    pub(crate) fn set(&self, outboxes: Vec<OutboxMetrics>) {
        *self.outboxes() = outboxes;
    }

    fn outboxes(&self) -> MutexGuard<'_, Vec<OutboxMetrics>> {
        self.0.lock()
    }
}
