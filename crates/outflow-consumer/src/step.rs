//! What the runner's tasks bring back.

use std::time::Duration;

use bytes::Bytes;

use super::backoff::Interrupted;
use super::batching::Job;
use super::group::Begun;
use super::id::EntryId;
use super::outcome::Consequence;

/// What a task brings back; a number is a stream's.
#[derive(Debug)]
pub(super) enum Step {
    /// Attempts are counted: of each call's entries, in their order.
    Begun(usize, Vec<Vec<Job>>, Result<Vec<Begun>, Interrupted>),
    /// A call of the handler has ended. `None`: it left the entry undone.
    Attempted(usize, Vec<(Job, Option<Consequence>)>),
    /// It is noted which attempts count, and when the next ones come.
    Noted(Vec<Job>, Next, Result<(), Interrupted>),
    /// An entry is in the dead letters.
    DeadLettered(Job, Result<(), Interrupted>),
    /// Entries are acknowledged.
    Acknowledged(usize, Vec<(EntryId, Bytes)>, Result<(), Interrupted>),
}

/// When an entry is attempted again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Next {
    /// At once.
    First,
    /// Once the others that are ready have had their turn.
    Last,
    /// After a pause of its own.
    After(Duration),
}
