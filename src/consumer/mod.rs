//! Consuming a stream as a member of a consumer group: attempts, retries, dead letters, take-over, effects once.
//!
//! A user writes a [`Handler`]; a [`Consumer`] calls it for every entry of a stream in Outflow's `fields` format:
//!
//! ```no_run
//! use outflow::consumer::{Consumer, Entry, Handled, Handler, HandlerError, Metrics, Settings};
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
//! async fn consume(stop: tokio_util::sync::CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//!     let settings = Settings::new("events.customer", "mailer", "mailer-0");
//!     let metrics = Metrics::new(&prometheus::Registry::new(), &settings)?;
//!     let consumer = Consumer::open(&"redis://127.0.0.1:6379".into(), settings, Mailer, metrics)?;
//!     tokio::spawn(consumer.run(stop)).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What is promised
//! - Every entry that the stream keeps long enough is handled at least once, or moved to the dead-letter stream.
//!   A handler that uses an [`Inbox`] makes its effect exactly once.
//! - Attempts are counted in Redis. A crash in the middle of one counts; an outage of Redis or of what the handler needs
//!   does not, however long it lasts.
//! - Entries are handled one after another, in the order of the stream. One that is being retried, or that waits for a
//!   server, holds up those behind it: this keeps the order of each key, as long as the group has one consumer. With
//!   several, Redis hands each entry to whoever asks, and a key's entries may be handled at the same time.
//! - A dead-lettered entry does not hold up the later ones of its key.
//! - Entries of consumers that are gone are taken over after `claim_idle`; those of a live one never are, however long it
//!   takes: it says every third of that time that it is alive.
//! - A group that vanishes (FLUSHALL, a Redis that lost its data) is created again from the beginning of the stream: what
//!   is still in it is delivered again.
//!
//! # A dead letter
//! has the fields of the entry, then `dead_entry_id`, `dead_stream`, `dead_group`, `dead_consumer`, `dead_attempts`,
//! `dead_error`, `dead_appended_at` and `dead_at`. Needs Redis 7.0 or later.

mod entry;
mod group;
mod handler;
mod health;
mod inbox;
mod life;
mod metrics;
mod patience;
mod runner;
mod settings;

pub use entry::{Entry, Malformed};
pub use handler::{Handled, Handler, HandlerError};
pub use health::Health;
pub use inbox::Inbox;
pub use metrics::Metrics;
pub use runner::Consumer;
pub use settings::{RETRY_DELAY_MAX, Settings};
