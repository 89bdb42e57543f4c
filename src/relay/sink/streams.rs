//! Redis Streams as a sink for an outbox whose settled rows are deleted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ask::{self, Raise};
use super::keys::journal_key;
use super::wire::{self, count, lossy, signed};
use super::written::Written;
use super::{AppendError, GENERATIONS_KEPT, Position, Raised, Refusal, Sink, journal};
use crate::relay::encode::Entries;
use crate::relay::event::Batch;
use outflow_connect::redis::{Args, Failure, Redis, Reply, Script};

/// The streams of one Redis, with the journal of one outbox.
#[derive(Debug)]
pub struct RedisSink {
    redis: Redis,
    journal: String,
    /// By which columns rows are named in what this relay appends.
    names: String,
    written: Arc<Written>,
    append: Script,
    raise: Raise,
    forget: Script,
    /// Said once.
    told_of_forget: AtomicBool,
}

impl RedisSink {
    /// `journal` identifies the outbox (a uuid made by `migrate`), so that two environments on one
    /// Redis cannot meet. `tag` is the hash tag of all its streams, used on a cluster only.
    /// `written` is told which streams it has written to.
    pub fn new(redis: Redis, journal: &str, tag: Option<&str>, written: Arc<Written>) -> Self {
        let tag = tag.filter(|_| redis.is_cluster());
        Self {
            redis,
            journal: journal_key(journal, tag),
            names: String::new(),
            written,
            append: Script::new(include_str!("append.lua")),
            raise: Raise::default(),
            forget: Script::new(include_str!("forget.lua")),
            told_of_forget: AtomicBool::new(false),
        }
    }

    /// Writes these column names into the journal's records, in the outbox's own encoding.
    #[must_use]
    pub fn naming_by(mut self, names: &str) -> Self {
        names.clone_into(&mut self.names);
        self
    }

    /// Key of the journal in Redis.
    pub fn journal_key(&self) -> &str {
        &self.journal
    }

    /// What `append.lua` takes.
    fn append_args(args: &mut Args, at: Position, batch: &Batch, entries: &Entries) {
        args.reserve(16 + wire::arguments(entries));
        args.int(at.generation).int(at.member).int(signed(at.batch)).int(signed(at.previous));
        args.int(signed(at.record));
        if entries.entries.is_empty() {
            args.text("");
        } else {
            args.push(journal::pack(
                entries.entries.iter().map(|entry| &batch.events[entry.event]),
            ));
        }
        wire::push_entries(args, entries);
    }
}

impl Sink for RedisSink {
    async fn append(
        &self,
        position: Position,
        batch: &Batch,
        entries: &Entries,
    ) -> Result<Vec<Refusal>, AppendError> {
        let args = |args: &mut Args| Self::append_args(args, position, batch, entries);
        let keys = wire::keys(&self.redis, &self.journal, entries);
        let reply = self.redis.script_of(&self.append, &keys, args).await;
        let reply = reply.map_err(|failure| wire::not_answered(&failure))?;
        let outcome = wire::outcome(&reply);
        if let Ok(refused) = &outcome {
            self.written.note(entries, refused);
        }
        outcome
    }

    async fn is_ready(&self, position: Position) -> Result<(), AppendError> {
        self.append(position, &Batch::default(), &Entries::default()).await.map(drop)
    }

    async fn answers(&self) -> Result<(), String> {
        ask::answers(&self.redis, &self.journal).await
    }

    async fn raise(&self, known: i64, server: &str) -> Result<Raised, String> {
        let raised =
            self.raise.run(&self.redis, &self.journal, known, [&self.names, server, ""]).await?;
        Ok(Raised { kept: None, ..raised })
    }

    async fn last_batch(&self, generation: i64, member: i32) -> Result<Option<u64>, String> {
        ask::last_batch(&self.redis, &self.journal, generation, member).await
    }

    async fn forget(&self, at: Position, records: &[u64]) -> Result<(), String> {
        let mut args = Args::with_capacity(5 + records.len());
        args.int(at.generation).int(at.member).int(signed(at.batch)).int(GENERATIONS_KEPT);
        push_numbers(&mut args, records);
        let failure = match self.redis.script(&self.forget, &[&self.journal], args).await {
            Ok(Reply::Int(1)) => return Ok(()),
            Ok(Reply::Text(refused)) => {
                Failure::Refused(lossy(&refused).trim_start_matches('-').to_owned())
            }
            Ok(Reply::Int(_) | Reply::Nil | Reply::List(_)) => {
                return Err("the journal has moved on".to_owned());
            }
            Err(failure) => failure,
        };
        // Nothing is lost by it, but nobody would ever learn that a permission is missing.
        if matches!(failure, Failure::Refused(_))
            && !self.told_of_forget.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                journal = self.journal,
                reason = %failure,
                "Redis refuses to clear the journal: records of settled batches remain until later \
                    batches overwrite them; `outflow check` shows which permission is missing"
            );
        }
        Err(failure.to_string())
    }
}

fn push_numbers(args: &mut Args, numbers: &[u64]) {
    args.int(count(numbers.len()));
    for number in numbers {
        args.int(signed(*number));
    }
}
