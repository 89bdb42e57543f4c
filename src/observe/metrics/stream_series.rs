//! The series of the streams that an outbox writes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::declare::Declare;

/// The series.
#[derive(Debug, Clone)]
pub(super) struct StreamSeries {
    pub(super) entries: IntGaugeVec,
    pub(super) lag: GaugeVec,
    pub(super) oldest_pending: GaugeVec,
    pub(super) trimmed: IntCounterVec,
    pub(super) unread_trimmed: IntCounterVec,
    pub(super) trim_waits: IntGaugeVec,
    pub(super) stale_groups: IntGaugeVec,
}

/// Which labels are in use, and whether this member looks. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Looking {
    pub(super) leads: Arc<AtomicBool>,
    pub(super) known: Arc<Mutex<Labels>>,
}

#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) streams: BTreeSet<String>,
    pub(super) groups: BTreeSet<(String, String)>,
}

impl StreamSeries {
    pub(super) fn new(declare: &Declare<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            entries: declare.gauge(
                "stream_entries",
                "Entries in a stream, told by the relay that owns slot 0",
                &["stream"],
            )?,
            lag: declare.real(
                "stream_group_lag_entries",
                "Entries of a stream that were not delivered to a consumer group yet; NaN if Redis \
                    does not know",
                &["stream", "group"],
            )?,
            oldest_pending: declare.real(
                "stream_group_oldest_pending_age_seconds",
                "Age in seconds of the oldest entry that a consumer group was given and has not \
                    acknowledged; 0 if there is none",
                &["stream", "group"],
            )?,
            trimmed: declare.counter(
                "stream_trimmed_total",
                "Entries that the relay trimmed from a stream, read or not",
                &["stream"],
            )?,
            unread_trimmed: declare.counter(
                "stream_unread_trimmed_total",
                "Entries that trim.max_len or trim.max_age trimmed although a consumer group had \
                    not read and acknowledged them",
                &["stream"],
            )?,
            trim_waits: declare.gauge(
                "stream_trim_waits",
                "Streams in which nothing read is trimmed because a group of trim.groups, or any \
                    group, does not exist",
                &[],
            )?,
            stale_groups: declare.gauge(
                "stream_stale_groups",
                "Consumer groups that need entries and were not seen for trim.stale_group_after",
                &[],
            )?,
        })
    }

    /// Each series exists from the start.
    pub(super) fn start(&self, outbox: &str) {
        self.trimmed.with_label_values(&[outbox, "other"]);
        self.unread_trimmed.with_label_values(&[outbox, "other"]);
        self.trim_waits.with_label_values(&[outbox]);
        self.stale_groups.with_label_values(&[outbox]);
    }
}
