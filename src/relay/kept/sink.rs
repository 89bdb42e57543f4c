//! Redis Streams as a sink for a kept outbox.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use super::journal::Journal;
use crate::relay::encode::Entries;
use crate::relay::event::{Acknowledged, Batch, Passage};
use crate::relay::sink::wire::{self, signed};
use crate::relay::sink::written::Written;
use crate::relay::sink::{AppendError, Position, Raised, Refusal, Sink, ask};
use outflow_connect::redis::{Args, Script};

/// The streams of one Redis, with the journal of one kept outbox.
///
/// A batch of which something was appended moves the member's position on, whatever its streams
/// refuse: the part of a stream that refused becomes a piece of its own in the same step.
#[derive(Debug)]
pub struct KeptSink {
    journal: Arc<Journal>,
    written: Arc<Written>,
    append: Script,
}

impl KeptSink {
    /// Appends for the member that has entered this journal. `written` is told which streams it has
    /// written to.
    pub fn new(journal: Arc<Journal>, written: Arc<Written>) -> Self {
        let append = Script::new(include_str!("keep_append.lua"));
        Self { journal, written, append }
    }

    /// Runs the script; without a passage it asks whether an append is possible. Either way the
    /// journal is told of the last copy.
    async fn run(
        &self,
        at: Position,
        passage: Option<&Passage>,
        batch: &Batch,
        entries: &Entries,
    ) -> Result<Vec<Refusal>, AppendError> {
        let nonce = self.journal.nonce(at);
        let copy = self.journal.copy(at);
        let before = Bytes::from(before(batch, entries));
        let args = |args: &mut Args| {
            args.reserve(14 + wire::arguments(entries));
            args.int(at.generation).int(at.member).int(signed(at.batch)).int(signed(at.previous));
            args.text(nonce.as_str());
            push_passage(args, copy, passage);
            args.push(before.clone());
            wire::push_entries(args, entries);
        };
        let keys = wire::keys(self.journal.redis(), self.journal.key(), entries);
        let reply = self.journal.redis().script_of(&self.append, &keys, args).await;
        let reply = reply.map_err(|failure| wire::not_answered(&failure))?;
        let outcome = wire::outcome(&reply);
        if let Ok(refused) = &outcome {
            self.written.note(entries, refused);
            self.journal.told(copy);
        }
        outcome
    }
}

impl Sink for KeptSink {
    async fn append(
        &self,
        position: Position,
        batch: &Batch,
        entries: &Entries,
    ) -> Result<Vec<Refusal>, AppendError> {
        let Some(passage) = batch.passage.as_deref() else {
            return Err(AppendError::Unavailable(
                "a batch of a kept outbox came without its passage: nothing was appended"
                    .to_owned(),
            ));
        };
        self.run(position, Some(passage), batch, entries).await
    }

    async fn is_ready(&self, position: Position) -> Result<(), AppendError> {
        self.run(position, None, &Batch::default(), &Entries::default()).await.map(drop)
    }

    async fn answers(&self) -> Result<(), String> {
        ask::answers(self.journal.redis(), self.journal.key()).await
    }

    /// Which Postgres it is becomes known when the pieces are installed.
    async fn raise(&self, known: i64, _: &str) -> Result<Raised, String> {
        self.journal.raise(known).await
    }

    async fn last_batch(&self, generation: i64, member: i32) -> Result<Option<u64>, String> {
        ask::last_batch(self.journal.redis(), self.journal.key(), generation, member).await
    }

    /// There are no records.
    async fn forget(&self, _: Position, _: &[u64]) -> Result<(), String> {
        Ok(())
    }
}

/// From the number of the copied batch to whether the piece is one of a single stream.
fn push_passage(args: &mut Args, copy: Option<Acknowledged>, passage: Option<&Passage>) {
    match copy {
        Some(copy) => args.int(signed(copy.batch)),
        None => args.word(""),
    };
    let Some(Passage { rest, after, refused, from, hint, of_stream }) = passage else {
        for _ in 0..7 {
            args.word("");
        }
        return;
    };
    args.word("1").text(rest.as_str()).text(after.as_str()).text(refused.as_str());
    args.text(from.as_str()).int(*hint).word(if *of_stream { "1" } else { "" });
}

/// For each entry, the greatest order value in the batch below its event's, as 20 characters;
/// blanks if there is none. A stream that refuses the event is read again from behind that value.
///
/// It is not simply the value of the event before: several events may have the same one, and of
/// those all must be read again.
fn before(batch: &Batch, entries: &Entries) -> String {
    const WIDTH: usize = 20;
    let (mut below, mut last) = (None, None);
    let of_event: Vec<Option<i64>> = batch
        .events
        .iter()
        .map(|event| {
            if event.order != last {
                (below, last) = (last, event.order);
            }
            below
        })
        .collect();
    let mut text = String::with_capacity(WIDTH * entries.entries.len());
    for entry in &entries.entries {
        // Writing to a string cannot fail.
        let _infallible = match of_event[entry.event] {
            Some(order) => write!(text, "{order:+0WIDTH$}"),
            None => write!(text, "{:WIDTH$}", ""),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::encode::Entry;
    use crate::relay::event::Event;

    fn event(order: Option<i64>) -> Event {
        Event {
            row: Bytes::new(),
            order,
            id: Bytes::new(),
            key: None,
            kind: Bytes::new(),
            time: None,
            payload: Bytes::new(),
            headers: None,
        }
    }

    #[test]
    fn each_entry_is_read_again_from_below_its_own_order_value() {
        let orders = [i64::MIN, 3, 3, 7, i64::MAX].map(Some);
        let batch = Batch { events: orders.map(event).into(), ..Batch::default() };
        // The entries of a stream are together; the event in the middle is dead.
        let entry = |event| Entry { stream: 0, shape: 0, event };
        let entries = [0, 2, 4, 1].map(entry).into();
        let text = before(&batch, &Entries { entries, ..Entries::default() });
        let blank = " ".repeat(20);
        let (lowest, seven) = ("-9223372036854775808", "+0000000000000000007");
        assert_eq!(text, [blank.as_str(), lowest, seven, lowest].concat());
        let parsed: Result<i64, _> = seven.parse();
        assert_eq!(parsed, Ok(7), "as a piece is read");
    }
}
