//! Consuming a stream as a member of a consumer group: attempts, retries, dead letters, take-over,
//! effects once.
//!
//! A user writes a [`Handler`]; a [`Consumer`] calls it for every entry of a stream in Outflow's
//! `fields` format:
//!
//! ```no_run
//! use outflow_consumer::{Consumer, Entry, Handled, Handler, HandlerError, Metrics, Settings};
//!
//! struct Mailer;
//!
//! impl Handler for Mailer {
//!     async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
//!         if entry.kind != "CustomerCreated" {
//!             return Ok(Handled::Ignored);
//!         }
//!         let customer: serde_json::Value = entry.json()?;
//!         println!("welcome, {}", customer["name"]);
//!         Ok(Handled::Done)
//!     }
//! }
//!
//! # use std::error::Error;
//! # use tokio_util::sync::CancellationToken;
//! async fn consume(stop: CancellationToken) -> Result<(), Box<dyn Error>> {
//!     let settings = Settings::new("events.customer", "mailer", "mailer-0");
//!     let metrics = Metrics::new(&prometheus::Registry::new(), &settings)?;
//!     let consumer = Consumer::open(&"redis://127.0.0.1:6379".into(), settings, Mailer, metrics)?;
//!     tokio::spawn(consumer.run(stop)).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What is promised
//! - Every entry that the stream keeps long enough is handled at least once, or moved to the
//!   dead-letter stream. A handler that uses an [`Inbox`] makes its effect exactly once.
//! - The entries of one key are handled in the order of the stream, one at a time, also by a group
//!   of many consumers (see below); those of different keys side by side, by as many workers as the
//!   settings allow. Entries without a key have no order. While an entry waits for its next
//!   attempt, the later ones of its key wait behind it, and the others go on.
//! - A dead-lettered entry does not hold up the later ones of its key.
//! - Attempts are counted in Redis. An outage of Redis or of what the handler needs does not count,
//!   however long it lasts; a crash counts only against an entry that was alone (see below).
//! - Every attempt has a timeout of its own, and a stop ends whatever hangs
//!   ([`Settings::attempt_timeout`], [`Settings::stop_grace`]).
//! - Memory is bounded in entries and in bytes ([`Settings::prefetch_bytes`]), and so is what one
//!   script copies in Redis.
//! - What leaves the stream (trimmed or deleted) before the group is done with it is counted
//!   (`lost_total`), and the lag is right afterwards.
//! - Entries of consumers that are gone are taken over after `claim_idle`, those that were given
//!   back at a stop within a second or so; those of a live one never are, however long it takes: it
//!   says every third of that time that it is alive.
//! - A group that vanishes (FLUSHALL, a Redis that lost its data) is created again from the
//!   beginning of the stream: what is still in it is delivered again.
//!
//! # Whose fault it is
//! An entry goes to the dead letters for what is its own fault, and for nothing else:
//! - What a server could not do is not the entry's fault. [`HandlerError::of_postgres`] knows that
//!   of every SQLSTATE class (and [`HandlerError::of_bookkeeping`] for the inbox's own statement)
//!   ([`classify`]): `Unavailable` waits with everything (if the others get on nevertheless:
//!   alone), `Conflict` lets the others go on, and neither uses up an attempt.
//! - An attempt that takes too long is broken off. If what the handler needs does not answer
//!   ([`Handler::probe`]), everything waits for that. If it does, the entry is tried again, alone:
//!   what was handled beside it may have been in its way. Only when it takes too long then does it
//!   count.
//! - When a consumer dies, all that it had in hand is suspect: one of them may have killed it, or
//!   somebody from outside. The suspects are tried alone, one at a time, the one that is blamed
//!   least first, and a crash counts only against the one that was alone. So a poison that kills
//!   costs `attempts_max` crashes and a few more; a supervisor that kills a consumer over and over
//!   spreads them over all that are in hand. *Alone* means alone in this `Consumer`: two of them in
//!   one process cannot tell whose entry killed it.
//!
//! # One process a name
//! Each process has a token of its own, kept beside the stream (`<stream>.<group>.state`). Whoever
//! starts under a name that another process has leaves a challenge, which a live one answers within
//! half a second; then the second stands by, not ready and saying why, until the first stops. A
//! name whose owner does not answer for two seconds is taken over. That time is a guess and nothing
//! rests on it: every script looks at the token first, so that a frozen owner that wakes up is
//! refused whatever it was about to do, and stands by. A stop gives the name free at once; after a
//! kill, the same name starts two seconds late.
//!
//! # Order per key in a group of many
//! Redis gives an entry of a stream to whichever consumer asks first, so that two of them could
//! work on one key. Others split the stream into partitions with one consumer each, which have to
//! be chosen beforehand and shared out; or read with a single consumer. Here the reading script
//! decides (`read.lua`): it remembers, in a hash beside the stream (`<stream>.<group>.keys`), the
//! last entry of each key that was given out; while that one is pending, its owner gets the key's
//! next entries too. So a key sticks to a consumer for as long as there is something of it to do,
//! and is free otherwise. The pending list is the truth; the hash only says where to look in it,
//! holds no more fields than entries are pending (what others leave behind is tidied up each
//! minute), and may be lost with nothing worse than the order of what is pending at that moment.
//!
//! What it rests on: every consumer of the group is one of these (a foreign one that uses
//! XREADGROUP, XCLAIM or XAUTOCLAIM gets entries as it likes); whoever takes over takes all that
//! the other one had, in one step; and who finds that an entry is no longer its own stops there.
//! One hole is closed only by an [`Inbox`]: a consumer frozen in the middle of an attempt for
//! longer than `claim_idle` may go on with it when it wakes up, after the same event has been
//! handled elsewhere. With an inbox, that late attempt has no effect; without one, it is an effect
//! too many, and too late.
//!
//! What it costs: one script for each batch that is read (about 5 µs of Redis an entry), one for
//! each batch of attempts, one for each batch of acknowledgements. The rest is the handler's: with
//! a transaction for each entry, mostly its commit. A handler with a [`Handler::handle_many`] of
//! its own gets several entries of different keys in one call ([`Settings::handle_batch`]). A key
//! that gets more entries than its consumer can handle fills the group's pending list up to
//! `pending_max`; from then on nothing new is read until it has caught up.
//!
//! # A dead letter
//! has the fields of the entry, then `dead_entry_id`, `dead_stream`, `dead_group`, `dead_consumer`,
//! `dead_attempts`, `dead_error`, `dead_appended_at` and `dead_at`. Needs Redis 7.0 or later.

mod audit;
mod calls;
mod dead;
mod entry;
mod group;
mod handler;
mod health;
mod id;
mod inbox;
mod keeper;
mod metrics;
mod patience;
mod reader;
mod room;
mod runner;
mod schedule;
mod settings;
mod share;
mod steps;
mod work;

pub use dead::{DeadFilter, DeadLetter, DeadLetters, Replayed};
pub use entry::{Entry, Malformed};
pub use handler::{Handled, Handler, HandlerError};
pub use health::Health;
pub use id::{BadEntryId, EntryId};
pub use inbox::Inbox;
pub use metrics::Metrics;
pub use runner::Consumer;
pub use settings::{RETRY_DELAY_MAX, Settings, Source};

pub use outflow_connect::postgres::{Trouble, classify, classify_state};
