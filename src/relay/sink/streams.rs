//! Redis Streams as a sink: three scripts, and what their answers mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::keys::journal_key;
use super::written::Written;
use super::{AppendError, GENERATIONS_KEPT, Position, Raised, Refusal, Sink, journal};
use crate::relay::encode::{Entries, Entry};
use crate::relay::event::{Acknowledged, Batch};
use outflow_connect::redis::{Args, Failure, Redis, Reply, Script};

/// Error codes that Redis answers before it runs anything: nothing was appended. Scripts catch what
/// is refused in their middle and answer with it; any other error counts as an unknown outcome.
const NOTHING_RAN: [&str; 16] = [
    "OOM",
    "READONLY",
    "LOADING",
    "NOREPLICAS",
    "MISCONF",
    "NOPERM",
    "NOAUTH",
    "WRONGPASS",
    "MASTERDOWN",
    "BUSY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "CROSSSLOT",
    "MOVED",
    "ASK",
    "NOSCRIPT",
];

/// The streams of one Redis, with the journal of one outbox.
#[derive(Debug)]
pub struct RedisSink {
    redis: Redis,
    journal: String,
    /// By which columns rows are named in what this relay appends.
    names: String,
    written: Arc<Written>,
    append: Script,
    raise: Script,
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
            raise: Script::new(include_str!("raise.lua")),
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
        let names: usize = entries.shapes.iter().map(|shape| shape.len() + 1).sum();
        args.reserve(
            16 + entries.streams.len() + names + 3 * entries.entries.len() + entries.values.len(),
        );
        args.int(at.generation).int(at.member).int(signed(at.batch)).int(signed(at.previous));
        args.int(signed(at.record));
        if entries.entries.is_empty() {
            args.text("");
        } else {
            args.push(journal::pack(
                entries.entries.iter().map(|entry| &batch.events[entry.event]),
            ));
        }
        args.int(count(entries.streams.len()));
        for stream in &entries.streams {
            args.text(stream.as_str());
        }
        args.int(count(entries.shapes.len()));
        for shape in &entries.shapes {
            args.int(count(shape.len()));
            for name in shape {
                args.word(name);
            }
        }
        let mut values = entries.values.iter();
        for run in entries
            .entries
            .chunk_by(|one, next| (one.stream, one.shape) == (next.stream, next.shape))
        {
            let Entry { stream, shape, .. } = run[0];
            args.int(count(run.len())).int(count(stream)).int(count(shape));
            for value in values.by_ref().take(run.len() * entries.shapes[shape].len()) {
                args.push(value.clone());
            }
        }
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
        // On a cluster the streams are keys too: only then does a node say that one of them is on
        // its way elsewhere. Not told, it would append to a stream of the same name that it makes
        // anew, which the move then overwrites.
        let with_streams: Vec<&str>;
        let keys = if self.redis.is_cluster() {
            let streams = entries.streams.iter().map(String::as_str);
            with_streams = std::iter::once(self.journal.as_str()).chain(streams).collect();
            with_streams.as_slice()
        } else {
            &[self.journal.as_str()]
        };
        let reply = self.redis.script_of(&self.append, keys, args).await.map_err(|failure| {
            let nothing_ran = failure.code().is_some_and(|code| NOTHING_RAN.contains(&code));
            match failure {
                Failure::NotSent(_) => AppendError::Unavailable(failure.to_string()),
                Failure::Refused(_) if nothing_ran => AppendError::Unavailable(failure.to_string()),
                Failure::Refused(_) | Failure::Unknown(_) => {
                    AppendError::Unknown(failure.to_string())
                }
            }
        })?;
        let outcome = outcome(&reply);
        if let Ok(refused) = &outcome {
            self.written.note(entries, refused);
        }
        outcome
    }

    async fn is_ready(&self, position: Position) -> Result<(), AppendError> {
        self.append(position, &Batch::default(), &Entries::default()).await.map(drop)
    }

    async fn answers(&self) -> Result<(), String> {
        let generation = Args::from([self.journal.as_str(), "generation"]);
        self.redis.call("HGET", generation).await.map(drop).map_err(|failure| failure.to_string())
    }

    async fn raise(&self, known: i64) -> Result<Raised, String> {
        let mut args = Args::with_capacity(2);
        args.int(known).text(&self.names);
        let reply = self
            .redis
            .script(&self.raise, &[&self.journal], args)
            .await
            .map_err(|f| f.to_string())?;
        let [generation, previous, batches, last] = reply.items() else {
            return Err(unexpected(&reply));
        };
        let mut appended = Vec::new();
        for batch in batches.items().chunks_exact(2) {
            let [Some(names), Some(record)] = [&batch[0], &batch[1]].map(Reply::text) else {
                return Err(unexpected(&reply));
            };
            appended.extend(journal::unpack(record, names).map_err(|error| error.to_string())?);
        }
        let generation = generation.int().ok_or_else(|| unexpected(&reply))?;
        let last = last
            .items()
            .chunks_exact(2)
            .filter_map(|pair| acknowledged(&pair[0].string()?, &pair[1]))
            .collect();
        Ok(Raised { generation, previous: previous.int(), appended, last })
    }

    async fn last_batch(&self, generation: i64, member: i32) -> Result<Option<u64>, String> {
        // In one answer, for the numbers go when the generation rises.
        let fields = Args::from([
            self.journal.as_str(),
            "generation",
            &format!("last:{generation}:{member}"),
        ]);
        let reply =
            self.redis.call("HMGET", fields).await.map_err(|failure| failure.to_string())?;
        let [known, last] = reply.items() else { return Err(unexpected(&reply)) };
        let is_kept = known.int().is_none_or(|known| generation >= known - GENERATIONS_KEPT);
        Ok(is_kept.then(|| number(last)))
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

/// What the append script's answer says.
fn outcome(reply: &Reply) -> Result<Vec<Refusal>, AppendError> {
    let texts: Option<Vec<&Bytes>> = reply.items().iter().map(Reply::text).collect();
    let texts: Vec<String> = texts.unwrap_or_default().into_iter().map(lossy).collect();
    let Some((verdict, rest)) = texts.split_first() else {
        return Err(AppendError::Unknown(unexpected(reply)));
    };
    match (verdict.as_str(), rest) {
        ("OK", refused) => Ok(refusals(refused)),
        ("NOTHING", refused) => Err(AppendError::Refused(refusals(refused))),
        ("FENCED", [generation]) => {
            Err(AppendError::Fenced(generation.parse().unwrap_or_default()))
        }
        ("ROLLED_BACK", [what]) => Err(AppendError::RolledBack(what.clone())),
        ("REFUSED", [message]) => Err(AppendError::Unavailable(format!(
            "Redis refused: {}",
            message.trim_start_matches('-')
        ))),
        _ => Err(AppendError::Unknown(unexpected(reply))),
    }
}

/// Pairs of a stream and its error.
fn refusals(pairs: &[String]) -> Vec<Refusal> {
    let refusal = |pair: &[String]| Refusal {
        stream: pair[0].clone(),
        message: pair[1].trim_start_matches('-').to_owned(),
    };
    pairs.chunks_exact(2).map(refusal).collect()
}

/// What a field `last:<generation>:<member>` says.
fn acknowledged(field: &str, batch: &Reply) -> Option<Acknowledged> {
    let (generation, member) = field.strip_prefix("last:")?.split_once(':')?;
    Some(Acknowledged {
        generation: generation.parse().ok()?,
        member: member.parse().ok()?,
        batch: number(batch),
    })
}

/// A batch's number; 0 where there is none.
fn number(reply: &Reply) -> u64 {
    reply.int().and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn push_numbers(args: &mut Args, numbers: &[u64]) {
    args.int(count(numbers.len()));
    for number in numbers {
        args.int(signed(*number));
    }
}

fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn lossy(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn unexpected(reply: &Reply) -> String {
    format!("Redis gave an answer that does not fit the question: {}", reply.kind())
}
