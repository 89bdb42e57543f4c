//! What `outflow status` reports.

use jiff::Timestamp;
use serde::Serialize;

use crate::observe::metrics::{ParkedStream, Problem, StreamNote};
use crate::relay::hold::Hold;
use crate::relay::options::OutboxOptions;
use crate::relay::pause::Pause;

/// All outboxes of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// When it was asked.
    pub at: Timestamp,
    /// Why Postgres cannot be asked.
    pub postgres_problem: Option<String>,
    /// Why Redis cannot be asked.
    pub redis_problem: Option<String>,
    /// One by one, in the order of the configuration.
    pub outboxes: Vec<OutboxStatus>,
}

/// One outbox.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutboxStatus {
    /// Its name.
    pub name: String,
    /// Its table.
    pub table: String,
    /// Template of its streams' names.
    pub stream: String,
    /// Events that wait.
    pub backlog_events: Option<i64>,
    /// Whether there are more than were counted.
    pub backlog_is_capped: bool,
    /// How many of them are for parked streams, which the relay leaves alone for now; among the
    /// first 100,000.
    pub parked_events: Option<i64>,
    /// How many more streams are parked than are named and counted.
    pub parked_unnamed: usize,
    /// Age of the first of them, 0 when there is none; unknown if neither its own time nor a relay
    /// tells it.
    pub oldest_event_age_seconds: Option<f64>,
    /// The current generation of the slot assignment.
    pub generation: Option<i64>,
    /// Whether its relays sleep until a writer notifies them.
    pub asleep: bool,
    /// Events appended per second, by all members together; unknown without a member that has said
    /// so lately.
    pub events_per_second: Option<f64>,
    /// Mean seconds from an event's time to its append, by the members that have said so lately,
    /// each weighed by its events.
    pub delivery_seconds: Option<f64>,
    /// The relays that work on it.
    pub members: Vec<Member>,
    /// Why events wait: a server that is down or refuses, no relay, parked streams, somebody's
    /// locks.
    pub causes: Vec<String>,
    /// Streams that refuse their events, as the members say.
    pub parked: Vec<Parked>,
    /// What people have paused: the whole outbox (no stream), and streams.
    pub paused: Vec<Paused>,
    /// What is kept, if the outbox keeps its rows (`settle = "keep"`).
    pub kept: Option<Kept>,
    /// Events that could not be appended.
    pub dead_letters: Vec<DeadLetters>,
    /// The streams in Redis whose names fit.
    pub streams: Vec<Stream>,
    /// Why streams are not trimmed, and groups that hold their entries, as the members say.
    pub notes: Vec<StreamNote>,
    /// Rows of a kept outbox that are older than they are kept, and why they stay, as a member
    /// says.
    pub retention: Vec<String>,
    /// Whether there may be more streams than were looked for.
    pub streams_are_incomplete: bool,
    /// What could not be found out, and why.
    pub problems: Vec<String>,
}

/// A relay at work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// Its number.
    pub number: i32,
    /// How many of the 64 slots it owns.
    pub slots: i64,
    /// Where it runs.
    pub host: String,
    /// Its process there.
    pub pid: i32,
    /// Its version.
    pub version: String,
    /// Since when it is a member.
    pub started_at: Timestamp,
    /// Events that it appends per second; unknown if it has not said so lately.
    pub events_per_second: Option<f64>,
    /// Reason why it cannot deliver, as it reports itself.
    pub problem: Option<Problem>,
    /// Why it owns no slots, as it says itself.
    pub standby: Option<Problem>,
    /// Why it claims no events although it could deliver.
    pub holds: Vec<Hold>,
}

/// A stream that refuses its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parked {
    /// Name, reason and times.
    #[serde(flatten)]
    pub stream: ParkedStream,
    /// Events that wait for it, among the first 100,000.
    pub events: Option<i64>,
}

/// A pause that a person has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// What, who, why, since and until when.
    #[serde(flatten)]
    pub pause: Pause,
    /// Events that wait for the stream, among the first 100,000; unknown of a whole outbox.
    pub events: Option<i64>,
}

/// Rows that stay in the table, and how far they have been read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// Rows of the table, as Postgres estimates them; unknown before the first ANALYZE.
    pub rows_estimated: Option<i64>,
    /// The copies of the positions in Postgres, one for each member.
    pub positions: Vec<KeptPosition>,
}

/// How far one member has read, as it was last copied to Postgres.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptPosition {
    /// The generation of the share-out.
    pub generation: i64,
    /// The member's number.
    pub member: i32,
    /// The batch that the position is behind.
    pub batch: i64,
    /// Age of the copy in seconds.
    pub copied_seconds_ago: f64,
    /// The parts that have come differently far.
    pub pieces: usize,
    /// Streams that stay behind, because they are parked or paused, or were until now.
    pub streams: Vec<String>,
}

/// Dead letters with one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetters {
    /// Why.
    pub reason: String,
    /// How many.
    pub letters: i64,
    /// When the last one died.
    pub last_died_at: Timestamp,
}

/// A stream and who reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its entries.
    pub length: i64,
    /// Its consumer groups.
    pub groups: Vec<Group>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Consumers that it has seen.
    pub consumers: i64,
    /// Entries that were read and not acknowledged.
    pub pending: i64,
    /// Entries that were not read yet; Redis does not always know, and before version 7 never.
    pub lag: Option<i64>,
}

pub(super) fn empty(outbox: &OutboxOptions) -> OutboxStatus {
    OutboxStatus {
        name: outbox.name.clone(),
        table: outbox.table.to_string(),
        stream: outbox.stream.to_string(),
        backlog_events: None,
        backlog_is_capped: false,
        parked_events: None,
        parked_unnamed: 0,
        oldest_event_age_seconds: None,
        generation: None,
        asleep: false,
        events_per_second: None,
        delivery_seconds: None,
        members: Vec::new(),
        causes: Vec::new(),
        parked: Vec::new(),
        paused: Vec::new(),
        kept: None,
        dead_letters: Vec::new(),
        streams: Vec::new(),
        notes: Vec::new(),
        retention: Vec::new(),
        streams_are_incomplete: false,
        problems: Vec::new(),
    }
}
