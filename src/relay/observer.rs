//! The events that a relay reports, for metrics, health and traces.

use std::time::Duration;

use super::encode::Entries;
use super::event::{Batch, DeadReason};
use super::outbox::Woken;
use super::pause::Pauses;
use super::sink::{AppendError, Refusal};
use super::trouble::Cause;

/// Receives a call for each step of a relay. No method may wait or fail: observing must not delay
/// the work.
pub trait Observer: Send + Sync {
    /// A claim took `events` rows.
    fn claimed(&self, events: usize, took: Duration);

    /// A batch was appended.
    fn appended(&self, batch: &Batch, entries: &Entries, took: Duration);

    /// A batch was settled.
    fn settled(&self, entries: &Entries, took: Duration);

    /// A batch could not be appended.
    fn append_failed(&self, error: &AppendError);

    /// A stream refused its events, and is tried again after `pause`.
    fn refused(&self, refusal: &Refusal, pause: Duration);

    /// How many streams are parked.
    fn parked(&self, streams: usize);

    /// A new relay starts; no stream is parked yet.
    fn unparked(&self);

    /// What is paused has changed, or was learned.
    fn paused(&self, pauses: &Pauses);

    /// A stream that was parked takes its events again.
    fn took(&self, stream: &str);

    /// An event was moved to the dead letters on the server, and why in words.
    fn dead_lettered(&self, reason: DeadReason, event: &str, words: &str);

    /// A recovery has ended: why it began, how many events it settled, and the generation.
    fn recovered(&self, cause: Cause, events: u64, generation: i64);

    /// Redis has lost what it had acknowledged.
    fn rolled_back(&self);

    /// Postgres is another one than the journal knows, or has another timeline.
    fn postgres_went_back(&self);

    /// This member has a row of its own in Postgres.
    fn seated(&self, seat: i32);

    /// How many slots this member owns, and whether it is the one that does what one member does
    /// for all.
    fn owns(&self, slots: usize, leads: bool);

    /// This member is on standby, with the reason; `None` when it is no longer.
    fn stands_by(&self, why: Option<&str>);

    /// Whether writers must notify this member.
    fn asleep(&self, asleep: bool);

    /// What ended a sleep.
    fn woken(&self, woken: Woken);

    /// Events can be delivered, or this is a healthy standby: it serves nobody, and takes over when
    /// it must.
    fn up(&self);

    /// Events cannot be delivered: why.
    fn down(&self, reason: &str);
}
