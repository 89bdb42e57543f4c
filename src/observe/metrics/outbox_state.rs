//! How an outbox stands, for probes, systemd and the log.

use serde::Serialize;

use super::ParkedStream;

/// How an outbox stands: what the probes, systemd and the log are told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutboxState {
    /// Its name.
    pub outbox: String,
    /// What keeps events from being delivered.
    pub problem: Option<String>,
    /// For how long that has been so.
    pub problem_seconds: Option<u64>,
    /// For how long its loop has made no progress, if that is too long.
    pub stalled_seconds: Option<u64>,
    /// Events appended since the start.
    pub delivered: u64,
    /// Events appended per second, over the last seconds.
    pub events_per_second: f64,
    /// Events that wait, at most 100,000; `None` if that is not known.
    pub backlog_events: Option<f64>,
    /// Age of the first of them.
    pub oldest_event_age_seconds: Option<f64>,
    /// The generation that this member works in.
    pub generation: i64,
    /// Its slots.
    pub slots_owned: i64,
    /// Whether it sleeps.
    pub asleep: bool,
    /// How many streams refuse their events.
    pub streams_parked: i64,
    /// The first hundred of them.
    pub parked: Vec<ParkedStream>,
}
