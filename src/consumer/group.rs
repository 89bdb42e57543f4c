//! One consumer's place in its group: every command that it sends to Redis.

use std::time::Duration;

use bytes::Bytes;

use super::Settings;
use crate::redis::{Args, Failure, Redis, Reply, Script};

/// The group's member that we are, over two connections: a blocking read holds up whatever else its connection is asked.
#[derive(Debug)]
pub(super) struct Group {
    commands: Redis,
    reads: Redis,
    settings: Settings,
    attempt: Script,
    heartbeat: Script,
    dead_letter: Script,
}

/// An entry on our own pending list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: String,
    /// How often it was attempted before.
    pub(super) attempts: u32,
    /// Its fields, names and values in turn, when it was just read; to be fetched when it was not.
    pub(super) fields: Option<Vec<Bytes>>,
}

/// What a call of XAUTOCLAIM did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reclaimed {
    /// Where to go on; `None` after the end of the group's pending list.
    pub(super) cursor: Option<String>,
    /// How many entries are ours now.
    pub(super) count: usize,
    /// Entries that Redis dropped from the pending list, because their messages are gone from the stream.
    pub(super) gone: Vec<String>,
}

/// What became of an entry that was to be dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Buried {
    /// It is in the dead-letter stream, under this id.
    As(String),
    /// The message is gone from the stream: there was nothing to move, and it is acknowledged.
    Gone,
    /// It is not ours any more.
    NotOurs,
}

/// Where XAUTOCLAIM starts, and what it answers at the end.
const START: &str = "0-0";

impl Group {
    pub(super) fn new(commands: Redis, reads: Redis, settings: Settings) -> Self {
        Self {
            commands,
            reads,
            settings,
            attempt: Script::new(include_str!("attempt.lua")),
            heartbeat: Script::new(include_str!("heartbeat.lua")),
            dead_letter: Script::new(include_str!("dead_letter.lua")),
        }
    }

    /// Waits until both connections stand, at most `limit`.
    pub(super) async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        for redis in [&self.commands, &self.reads] {
            if !redis.is_connected() {
                redis.ready(limit).await?;
            }
        }
        Ok(())
    }

    /// Creates the group, from the beginning of the stream (`$` would skip what came before), and the stream with it.
    /// Returns whether it was missing.
    pub(super) async fn create(&self) -> Result<bool, Failure> {
        let Settings { stream, group, .. } = &self.settings;
        match self.commands.call("XGROUP", ["CREATE", stream, group, "0", "MKSTREAM"].into()).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("BUSYGROUP") => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The oldest entries on our own pending list. XPENDING rather than XREADGROUP from 0: that one would count a delivery.
    pub(super) async fn own_pending(&self) -> Result<Vec<Held>, Failure> {
        let Settings { stream, group, consumer, batch, .. } = &self.settings;
        let mut args = Args::from([stream.as_str(), group, "-", "+"]);
        args.int(count(*batch)).text(consumer);
        let reply = self.commands.call("XPENDING", args).await?;
        reply.items().iter().map(|row| pending_row(row).ok_or_else(|| unexpected("XPENDING"))).collect()
    }

    /// New entries; waits for some, at most `block`. They come back with no attempt counted, in Redis too: it counts a
    /// delivery, but the last of a batch may be delivered many times before its turn comes, if the first ones are deadly.
    pub(super) async fn read_new(&self, block: Duration) -> Result<Vec<Held>, Failure> {
        let Settings { stream, group, consumer, batch, .. } = &self.settings;
        let block_ms = i64::try_from(block.as_millis()).unwrap_or(i64::MAX).max(1);
        let mut args = Args::from(["GROUP", group, consumer, "COUNT"]);
        args.int(count(*batch)).word("BLOCK").int(block_ms).word("STREAMS").text(stream).word(">");
        let reply = self.reads.call_blocking("XREADGROUP", args, block).await?;
        let [per_stream] = reply.items() else { return Ok(Vec::new()) };
        let entries = per_stream.items().get(1).map(Reply::items).unwrap_or_default();
        let held: Option<Vec<Held>> = entries.iter().map(new_entry).collect();
        let held = held.ok_or_else(|| unexpected("XREADGROUP"))?;
        if !held.is_empty() {
            self.uncount(&held).await?;
        }
        Ok(held)
    }

    /// Takes over entries whose consumers have shown no sign of life for `claim_idle`; counts no attempt.
    pub(super) async fn reclaim(&self, cursor: Option<&str>) -> Result<Reclaimed, Failure> {
        let Settings { stream, group, consumer, claim_idle, batch, .. } = &self.settings;
        let mut args = Args::from([stream.as_str(), group, consumer]);
        args.int(i64::try_from(claim_idle.as_millis()).unwrap_or(i64::MAX)).text(cursor.unwrap_or(START));
        args.word("COUNT").int(count(*batch)).word("JUSTID");
        let reply = self.commands.call("XAUTOCLAIM", args).await?;
        let [cursor, claimed, rest @ ..] = reply.items() else { return Err(unexpected("XAUTOCLAIM")) };
        let cursor = text(cursor).ok_or_else(|| unexpected("XAUTOCLAIM"))?;
        let gone = rest.first().map(Reply::items).unwrap_or_default();
        Ok(Reclaimed {
            cursor: (cursor != START).then_some(cursor),
            count: claimed.items().len(),
            gone: gone.iter().filter_map(text).collect(),
        })
    }

    /// Sets how often an entry was attempted. `None`: it is not ours any more. With `fetch`, returns its fields: none when
    /// its message is gone.
    pub(super) async fn attempt(&self, id: &str, attempts: u32, fetch: bool) -> Result<Option<Vec<Bytes>>, Failure> {
        let Settings { stream, group, consumer, .. } = &self.settings;
        let mut args = Args::from([group.as_str(), consumer, id]);
        args.int(attempts).word(if fetch { "1" } else { "0" });
        match self.commands.script(&self.attempt, &[stream], args).await? {
            Reply::Nil => Ok(None),
            Reply::List(fields) => Ok(Some(fields_of(&fields).ok_or_else(|| unexpected("the attempt script"))?)),
            Reply::Int(_) | Reply::Text(_) => Err(unexpected("the attempt script")),
        }
    }

    /// Keeps other consumers from taking over entries that we work on.
    pub(super) async fn heartbeat(&self, ids: &[String]) -> Result<(), Failure> {
        let Settings { stream, group, consumer, .. } = &self.settings;
        let mut args = Args::from([group.as_str(), consumer]);
        for id in ids {
            args.text(id);
        }
        self.commands.script(&self.heartbeat, &[stream], args).await.map(drop)
    }

    /// Acknowledges an entry.
    pub(super) async fn acknowledge(&self, id: &str) -> Result<(), Failure> {
        let Settings { stream, group, .. } = &self.settings;
        self.commands.call("XACK", [stream, group, id].into()).await.map(drop)
    }

    /// Moves an entry to the dead-letter stream and acknowledges it, in one step.
    pub(super) async fn bury(&self, id: &str, about: &[(&'static str, String)]) -> Result<Buried, Failure> {
        let Settings { stream, group, consumer, dead_letter_stream, .. } = &self.settings;
        let mut args = Args::from([group.as_str(), consumer, id]);
        for (name, value) in about {
            args.word(name).text(value);
        }
        let reply = self.commands.script(&self.dead_letter, &[stream, dead_letter_stream], args).await?;
        match (&reply, text(&reply)) {
            (Reply::Nil, _) => Ok(Buried::NotOurs),
            (_, Some(id)) if id.is_empty() => Ok(Buried::Gone),
            (_, Some(id)) => Ok(Buried::As(id)),
            (_, None) => Err(unexpected("the dead-letter script")),
        }
    }

    /// Closes both connections. The one for reads is dropped: it may be in the middle of one, and QUIT would wait for it.
    pub(super) async fn close(self) {
        self.commands.close().await;
    }

    async fn uncount(&self, held: &[Held]) -> Result<(), Failure> {
        let Settings { stream, group, consumer, .. } = &self.settings;
        let mut args = Args::from([stream.as_str(), group, consumer, "0"]);
        for entry in held {
            args.text(&entry.id);
        }
        args.word("RETRYCOUNT").int(0).word("JUSTID");
        self.commands.call("XCLAIM", args).await.map(drop)
    }
}

fn count(batch: usize) -> i64 {
    i64::try_from(batch).unwrap_or(i64::MAX)
}

fn text(reply: &Reply) -> Option<String> {
    Some(String::from_utf8_lossy(reply.text()?).into_owned())
}

fn fields_of(fields: &[Reply]) -> Option<Vec<Bytes>> {
    fields.iter().map(|field| field.text().cloned()).collect()
}

/// `[id, [name, value, …]]`
fn new_entry(reply: &Reply) -> Option<Held> {
    let [id, fields] = reply.items() else { return None };
    Some(Held { id: text(id)?, attempts: 0, fields: Some(fields_of(fields.items())?) })
}

/// `[id, consumer, idle, deliveries]`
fn pending_row(reply: &Reply) -> Option<Held> {
    let [id, _consumer, _idle, deliveries] = reply.items() else { return None };
    let attempts = u32::try_from(deliveries.int()?).unwrap_or(u32::MAX);
    Some(Held { id: text(id)?, attempts, fields: None })
}

fn unexpected(command: &str) -> Failure {
    Failure::Unknown(format!("a reply to {command} of an unexpected form"))
}
