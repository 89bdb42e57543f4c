//! How an outbox stands, for probes, systemd and the log.

use serde::Serialize;

use super::{ParkedStream, Problem, StreamNote};
use crate::relay::hold::Hold;
use crate::relay::pause::Pause;

/// The state of an outbox, for probes, systemd and the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutboxState {
    /// Its name.
    pub outbox: String,
    /// Reason why events cannot be delivered, if any.
    pub problem: Option<String>,
    /// Age of the problem, in seconds.
    pub problem_seconds: Option<u64>,
    /// Seconds without progress of the loop, if that is too long.
    pub stalled_seconds: Option<u64>,
    /// Events appended since the start.
    pub delivered: u64,
    /// Events appended per second, over the last seconds.
    pub events_per_second: f64,
    /// Events that wait, at most 100,000; `None` if that is not known.
    pub backlog_events: Option<f64>,
    /// Age of the event that is next in line, in seconds.
    pub oldest_event_age_seconds: Option<f64>,
    /// The generation that this member works in.
    pub generation: i64,
    /// Number of slots that this member owns.
    pub slots_owned: i64,
    /// Whether it sleeps.
    pub asleep: bool,
    /// How many streams refuse their events.
    pub streams_parked: i64,
    /// The first hundred of them.
    pub parked: Vec<ParkedStream>,
    /// What people have paused: the whole outbox (no stream), and streams.
    pub paused: Vec<Pause>,
    /// Why it claims no events although it could deliver.
    pub holds: Vec<Hold>,
    /// Why streams are not trimmed, and groups that hold their entries: the first hundred.
    pub streams: Vec<StreamNote>,
    /// Why this member, whose task it is, cannot look at the streams.
    pub look_problem: Option<Problem>,
}
