//! What a member says of itself in its row of `outflow.member`, for `outflow status` to read from
//! anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::relay::hold::Hold;
use crate::relay::pause::Pause;
use crate::relay::sink::Refusal;

/// Parked streams that are named; there may be more.
const PARKED_MAX: usize = 100;
/// Notes of streams that are named.
const NOTES_MAX: usize = 100;
/// Of what Redis said.
const REASON_CHARS_MAX: usize = 200;
/// Of what keeps a member from delivering.
const PROBLEM_CHARS_MAX: usize = 500;

/// A member's report: throughput, what keeps it from delivering, and its parked streams. Members of
/// older versions may omit fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Events appended per second, over the last seconds.
    pub events_per_second: f64,
    /// Mean seconds from an event's time to its append, over the last seconds; unknown if none was
    /// delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_seconds: Option<f64>,
    /// Streams that refuse their events, at most 100.
    pub parked: Vec<ParkedStream>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub parked_unnamed: usize,
    /// Why it delivers nothing: a server that is down or refuses, a recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    /// Why it has no slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standby: Option<Problem>,
    /// The first event in line, if it has been so for ten seconds or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_in_line: Option<FirstInLine>,
    /// Why it claims no events although it could deliver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// Why streams are not trimmed, and groups that hold their entries, at most 100.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<StreamNote>,
    /// Why this member, whose task it is, cannot look at the streams or trim them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub look_problem: Option<Problem>,
    /// Rows of a kept outbox that are older than they are kept, and why they stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retention: Vec<String>,
}

/// What is to be said of a stream and a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamNote {
    /// Name of the stream.
    pub stream: String,
    /// Name of the group; empty for any group.
    pub group: String,
    /// What it is.
    pub kind: NoteKind,
    /// Since when this member sees it so.
    pub since: Timestamp,
}

/// Why entries are not trimmed that others have read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// The group does not exist.
    Missing,
    /// The group exists, needs entries, and does not read.
    Stale,
}

impl StreamNote {
    /// Whether the group exists and does not read.
    pub fn is_stale(&self) -> bool {
        self.kind == NoteKind::Stale
    }

    /// In words.
    pub fn what(&self) -> String {
        let Self { stream, group, kind, since } = self;
        match (kind, group.as_str()) {
            (NoteKind::Missing, "") => format!(
                "{stream}: nothing is trimmed since {since:.0}, because it has no consumer group"
            ),
            (NoteKind::Missing, group) => format!(
                "{stream}: nothing that was read is trimmed since {since:.0}, because the group \
                    {group:?} of trim.groups does not exist there"
            ),
            (NoteKind::Stale, group) => format!(
                "{stream}: the group {group:?} needs entries, and no consumer of it was seen for \
                    trim.stale_group_after (noticed {since:.0})"
            ),
        }
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        let Self { stream, group, kind, .. } = self;
        match (kind, group.as_str()) {
            (NoteKind::Missing, "") => {
                "start its consumer, or set trim.when to \"never\" or \"length\"".to_owned()
            }
            (NoteKind::Missing, _) => {
                "start its consumer, or remove it from trim.groups".to_owned()
            }
            (NoteKind::Stale, group) => format!(
                "start its consumer, or if nobody needs it any more, run in redis-cli: XGROUP \
                    DESTROY {stream} {group}"
            ),
        }
    }

    /// Both.
    pub fn told(&self) -> String {
        format!("{}; {}", self.what(), self.remedy())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A reason, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// In words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// How long an event has been first in line: what its own time may hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstInLine {
    /// Its primary key, as text.
    pub row: String,
    /// When this member saw it there for the first time.
    pub since: Timestamp,
}

impl Problem {
    /// A problem that begins now. Long messages of servers are truncated.
    pub fn now(reason: &str) -> Self {
        Self { reason: reason.chars().take(PROBLEM_CHARS_MAX).collect(), since: Timestamp::now() }
    }
}

/// A stream that refuses its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedStream {
    /// Its name.
    pub stream: String,
    /// What Redis said, the last time.
    pub reason: String,
    /// Since when it refuses.
    pub since: Timestamp,
    /// When it is tried again; in the past while that is under way.
    pub next_probe: Timestamp,
}

/// What a report is made from. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    seat: Option<i32>,
    events_per_second: f64,
    delivery_seconds: Option<f64>,
    parked: BTreeMap<String, ParkedStream>,
    /// For who asks this process; others read it where it is written.
    paused: Vec<Pause>,
    standby: Option<Problem>,
    first_in_line: Option<FirstInLine>,
    notes: Vec<StreamNote>,
    look_problem: Option<Problem>,
    retention: Vec<String>,
}

impl Progress {
    pub(super) fn seated(&self, seat: i32) {
        self.state().seat = Some(seat);
    }

    pub(super) fn seat(&self) -> Option<i32> {
        self.state().seat
    }

    pub(super) fn paced(&self, events_per_second: f64, delivery_seconds: Option<f64>) {
        // Finer differences would be a write each for nothing that anybody sees.
        let mut state = self.state();
        state.events_per_second = (events_per_second * 10.0).round() / 10.0;
        state.delivery_seconds = delivery_seconds.map(|seconds| (seconds * 1e3).round() / 1e3);
    }

    pub(super) fn refused(&self, refusal: &Refusal, pause: Duration) {
        let now = Timestamp::now();
        let next_probe = jiff::SignedDuration::try_from(pause).map_or(now, |pause| now + pause);
        let reason = refusal.message.chars().take(REASON_CHARS_MAX).collect();
        let mut state = self.state();
        let since = state.parked.get(&refusal.stream).map_or(now, |known| known.since);
        let stream = refusal.stream.clone();
        state.parked.insert(stream.clone(), ParkedStream { stream, reason, since, next_probe });
    }

    pub(super) fn first_in_line(&self, first: Option<FirstInLine>) {
        self.state().first_in_line = first;
    }

    /// `None`: it owns slots.
    pub(super) fn stands_by(&self, why: Option<&str>) {
        let mut state = self.state();
        if state.standby.as_ref().map(|known| known.reason.as_str()) != why {
            state.standby = why.map(Problem::now);
        }
    }

    pub(super) fn noted(&self, notes: Vec<StreamNote>) {
        self.state().notes = notes;
    }

    pub(super) fn held_back(&self, held: Vec<String>) {
        self.state().retention = held;
    }

    pub(super) fn cannot_look(&self, why: Option<&str>) {
        let mut state = self.state();
        if state.look_problem.as_ref().map(|known| known.reason.as_str()) != why {
            state.look_problem = why.map(Problem::now);
        }
    }

    pub(super) fn took(&self, stream: &str) {
        self.state().parked.remove(stream);
    }

    pub(super) fn pauses(&self) -> Vec<Pause> {
        self.state().paused.clone()
    }

    /// Returns what was paused before.
    pub(super) fn set_pauses(&self, pauses: &[Pause]) -> Vec<Pause> {
        std::mem::replace(&mut self.state().paused, pauses.to_vec())
    }

    pub(super) fn unparked(&self) {
        self.state().parked.clear();
    }

    pub(super) fn report(&self) -> Report {
        let state = self.state();
        let parked = state.parked.values().take(PARKED_MAX).cloned().collect();
        Report {
            events_per_second: state.events_per_second,
            delivery_seconds: state.delivery_seconds,
            parked,
            parked_unnamed: state.parked.len().saturating_sub(PARKED_MAX),
            problem: None,
            holds: Vec::new(),
            standby: state.standby.clone(),
            first_in_line: state.first_in_line.clone(),
            notes: state.notes.iter().take(NOTES_MAX).cloned().collect(),
            look_problem: state.look_problem.clone(),
            retention: state.retention.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}
