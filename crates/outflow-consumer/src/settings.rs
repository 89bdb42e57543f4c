//! The settings of a consumer: its group, its streams and its limits, checked when they are built.

mod bad;
mod builder;
mod check;
mod rate;
mod source;

use std::time::Duration;

pub use bad::BadSetting;
pub use builder::SettingsBuilder;
pub use rate::Rate;
pub use source::Source;

/// Longest pause between two attempts (or `retry_delay`, if that is longer).
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

/// The settings of one consumer. Made by [`Settings::builder`], whose methods document each
/// setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) streams: Vec<Source>,
    pub(crate) group: String,
    pub(crate) consumer: String,
    pub(crate) workers: usize,
    pub(crate) handle_batch: usize,
    pub(crate) batch: usize,
    pub(crate) prefetch: usize,
    pub(crate) prefetch_bytes: usize,
    pub(crate) entry_bytes_max: usize,
    pub(crate) pending_max: usize,
    pub(crate) attempts_max: u32,
    pub(crate) retry_delay: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) stop_grace: Duration,
    pub(crate) claim_idle: Duration,
    pub(crate) forget_idle: Duration,
    pub(crate) rate: Option<Rate>,
    pub(crate) types: Vec<LimitedType>,
}

/// An event type that has limits of its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct LimitedType {
    pub(crate) name: String,
    pub(crate) entries: Option<usize>,
    pub(crate) rate: Option<Rate>,
}

impl Settings {
    /// The streams, each with its dead-letter stream.
    pub fn streams(&self) -> &[Source] {
        &self.streams
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The consumer's name within the group.
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// See [`SettingsBuilder::workers`]. A handler that uses Postgres needs as many connections.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The number of the limits of an event type.
    pub(crate) fn limit_of(&self, event_type: &[u8]) -> Option<usize> {
        // A few, so that looking at each is faster than a map.
        self.types.iter().position(|limited| limited.name.as_bytes() == event_type)
    }

    /// See [`SettingsBuilder::prefetch_bytes`].
    pub fn prefetch_bytes(&self) -> usize {
        self.prefetch_bytes
    }

    /// See [`SettingsBuilder::entry_bytes_max`].
    pub fn entry_bytes_max(&self) -> usize {
        self.entry_bytes_max
    }
}
