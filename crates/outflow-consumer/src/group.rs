//! One consumer's place in its group on one stream: every command that it sends to Redis.

mod membership;

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::id::EntryId;
use super::settings::{Settings, Source};
use outflow_connect::redis::{Args, Failure, Redis, Reply, Script};
use outflow_core::entry_field::TYPE;

pub(super) use membership::{Entered, GroupInfo, Swept};

/// The group's member that we are, over two connections: a blocking read holds up whatever else its
/// connection is asked.
#[derive(Debug)]
pub(super) struct Group {
    commands: Redis,
    waits: Redis,
    pub(super) stream: String,
    pub(super) dead_letter_stream: String,
    /// The group's name.
    name: String,
    consumer: String,
    /// The hash of the keys that are being worked on (read.lua).
    keys: String,
    /// The hash of the group's state: who has which name (enter.lua), attempts that do not count
    /// (attempts.lua), reads (`group_info.lua`).
    state: String,
    /// What tells this process from another one of the same name.
    token: String,
    enter: Script,
    present: Script,
    info: Script,
    sweep: Script,
    read: Script,
    attempts: Script,
    acknowledge: Script,
    heartbeat: Script,
    reclaim: Script,
    give_back: Script,
    forget: Script,
    dead_letter: Script,
}

/// An entry on our own pending list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: EntryId,
    /// The ordering key, or the hash of a long one; empty when it has none. Any bytes.
    pub(super) key: Bytes,
    /// The event's type, if the entry came without its fields and the type is not long.
    pub(super) event_type: Bytes,
    /// How often it was attempted before.
    pub(super) attempts: u32,
    /// How many of these do not count: nobody knows how they ended, and others were being handled
    /// at the time.
    pub(super) uncounted: u32,
    /// What it takes in memory with its fields.
    pub(super) bytes: usize,
    /// Its fields, names and values in turn; `None` when they must be fetched.
    pub(super) fields: Option<Vec<Bytes>>,
}

/// What a read brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) entries: Vec<Held>,
    /// Entries on our pending list whose messages are gone from the stream (deleted or trimmed).
    pub(super) gone: Vec<EntryId>,
    pub(super) more: More,
    /// There may be more that is ours already.
    pub(super) is_resuming: bool,
}

impl Held {
    /// The event's type, as far as is known.
    pub(super) fn event_type(&self) -> Option<&[u8]> {
        let Some(fields) = &self.fields else { return Some(&self.event_type) };
        let field = fields.chunks_exact(2).find(|field| field[0] == TYPE.as_bytes());
        field.map(|field| &field[1][..])
    }

    /// How many attempts count.
    pub(super) fn counted(&self) -> u32 {
        self.attempts.saturating_sub(self.uncounted)
    }
}

/// Where the next entries come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum More {
    /// There may be more right away.
    Now,
    /// The group has as many pending as it may.
    Full,
    /// None at the moment: wait for what comes behind this id.
    Behind(String),
}

/// What became of an attempt that was to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is counted. Its fields, if they were asked for.
    Counted(Vec<Bytes>),
    /// The entry is not ours any more.
    NotOurs,
}

/// What a look for entries of dead consumers brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reclaimed {
    /// How many entries are ours now.
    pub(super) taken: u64,
    /// How many were dropped, because their messages are gone from the stream.
    pub(super) gone: u64,
    /// Whose they were.
    pub(super) consumers: Vec<String>,
}

/// What became of an entry that was to be dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeadLettered {
    /// It is in the dead-letter stream, under this id.
    As(String),
    /// The message is gone from the stream: there was nothing to move, and it is acknowledged.
    Gone,
    /// It is not ours any more.
    NotOurs,
}

/// Entries that a script looks at in one step: far below what Lua's `unpack` takes.
const STEP: i64 = 500;
/// The idle time of entries that were given back: longer than anybody's `claim_idle`.
const GIVEN_BACK: Duration = Duration::from_hours(24 * 365);

impl Group {
    pub(super) fn new(commands: Redis, waits: Redis, source: &Source, settings: &Settings) -> Self {
        let keys = source.beside(&settings.group, "keys", commands.is_cluster());
        let state = source.beside(&settings.group, "state", commands.is_cluster());
        Self {
            stream: source.stream.clone(),
            dead_letter_stream: source.dead_letter_stream(commands.is_cluster()),
            commands,
            waits,
            name: settings.group.clone(),
            consumer: settings.consumer.clone(),
            keys,
            state,
            token: Uuid::new_v4().to_string(),
            enter: Script::new(include_str!("enter.lua")),
            present: Script::new(include_str!("present.lua")),
            info: Script::new(include_str!("group_info.lua")),
            sweep: Script::new(include_str!("sweep.lua")),
            read: Script::new(include_str!("read.lua")),
            attempts: Script::new(include_str!("attempts.lua")),
            acknowledge: Script::new(include_str!("acknowledge.lua")),
            heartbeat: Script::new(include_str!("heartbeat.lua")),
            reclaim: Script::new(include_str!("reclaim.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
            forget: Script::new(include_str!("forget.lua")),
            dead_letter: Script::new(include_str!("dead_letter.lua")),
        }
    }

    /// Waits until both connections stand, at most `limit`.
    pub(super) async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        for redis in [&self.commands, &self.waits] {
            if !redis.is_connected() {
                redis.ready(limit).await?;
            }
        }
        Ok(())
    }

    /// Creates the group, from the beginning of the stream (`$` would skip what came before), and
    /// the stream with it. Returns whether it was missing.
    pub(super) async fn create(&self) -> Result<bool, Failure> {
        let args = ["CREATE", &self.stream, &self.name, "0", "MKSTREAM"].into();
        match self.commands.call("XGROUP", args).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("BUSYGROUP") => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// At most `count` entries for us behind `cursor`, the last one that we know of: ours already,
    /// or new; with fields of `bytes` at most. See read.lua.
    pub(super) async fn read(
        &self,
        count: usize,
        bytes: usize,
        cursor: EntryId,
        pending_max: usize,
    ) -> Result<Found, Failure> {
        let mut args = self.member();
        args.int(integer(count))
            .text(cursor.to_string())
            .int(integer(pending_max))
            .int(integer(bytes));
        let reply = self
            .commands
            .script(&self.read, &[&self.stream, &self.keys, &self.state], args)
            .await?;
        found(&reply).ok_or_else(|| unexpected("the read script"))
    }

    /// Waits until there is an entry behind `last`, at most `block`. Hands nothing out.
    pub(super) async fn wait(&self, last: &str, block: Duration) -> Result<(), Failure> {
        let mut args = Args::from(["COUNT", "1", "BLOCK"]);
        args.int(millis(block).max(1)).word("STREAMS").text(self.stream.as_str()).text(last);
        self.waits.call_blocking("XREAD", args, block).await.map(drop)
    }

    /// Sets how often entries were attempted, and how many of these attempts do not count; for
    /// those with `true`, returns their fields: none when the message is gone.
    pub(super) async fn attempts(
        &self,
        entries: &[(EntryId, u32, u32, bool)],
    ) -> Result<Vec<Begun>, Failure> {
        let mut args = self.member();
        for (id, attempts, uncounted, fetch) in entries {
            args.text(id.to_string()).int(*attempts).int(*uncounted).word(if *fetch {
                "1"
            } else {
                "0"
            });
        }
        let reply =
            self.commands.script(&self.attempts, &[&self.stream, &self.state], args).await?;
        let begun: Option<Vec<Begun>> = reply.items().iter().map(begun).collect();
        begun
            .filter(|begun| begun.len() == entries.len())
            .ok_or_else(|| unexpected("the attempts script"))
    }

    /// Acknowledges entries, given with their keys, unless they are not ours any more. Returns how
    /// many were ours.
    pub(super) async fn acknowledge(&self, entries: &[(EntryId, Bytes)]) -> Result<u64, Failure> {
        let mut args = self.member();
        for (id, key) in entries {
            args.text(id.to_string()).push(key.clone());
        }
        let keys = [self.stream.as_str(), &self.keys, &self.state];
        self.commands.script(&self.acknowledge, &keys, args).await.map(|reply| number(&reply))
    }

    /// Keeps other consumers from taking over what we have. Returns what that is, and how many
    /// entries we have no more because they are gone from the stream.
    pub(super) async fn heartbeat(&self) -> Result<(Vec<EntryId>, u64), Failure> {
        let mut args = self.member();
        args.int(STEP);
        let reply =
            self.commands.script(&self.heartbeat, &[&self.stream, &self.state], args).await?;
        let [ours, gone] = reply.items() else { return Err(unexpected("the heartbeat script")) };
        let ours: Option<Vec<EntryId>> = ours.items().iter().map(id).collect();
        Ok((ours.ok_or_else(|| unexpected("the heartbeat script"))?, number(gone)))
    }

    /// Takes over what consumers have that have shown no sign of life for `claim_idle`; counts no
    /// attempt.
    pub(super) async fn reclaim(&self, claim_idle: Duration) -> Result<Reclaimed, Failure> {
        let mut args = self.member();
        args.int(millis(claim_idle)).int(STEP);
        let reply = self.commands.script(&self.reclaim, &[&self.stream, &self.state], args).await?;
        let [taken, gone, consumers] = reply.items() else {
            return Err(unexpected("the reclaim script"));
        };
        let consumers = consumers.items().iter().filter_map(Reply::string).collect();
        Ok(Reclaimed { taken: number(taken), gone: number(gone), consumers })
    }

    /// Lets others take over at once what we have. Returns how much that is.
    pub(super) async fn give_back(&self) -> Result<i64, Failure> {
        let mut args = self.member();
        args.int(millis(GIVEN_BACK)).int(STEP);
        let reply =
            self.commands.script(&self.give_back, &[&self.stream, &self.state], args).await?;
        reply.int().ok_or_else(|| unexpected("the give-back script"))
    }

    /// Removes consumers from the group that have nothing pending and were not seen for
    /// `forget_idle`.
    pub(super) async fn forget(&self, forget_idle: Duration) -> Result<Vec<String>, Failure> {
        let mut args = self.member();
        args.int(millis(forget_idle));
        let reply = self.commands.script(&self.forget, &[&self.stream, &self.state], args).await?;
        Ok(reply.items().iter().filter_map(Reply::string).collect())
    }

    /// How many dead letters there are, of all groups; `None` if Redis does not let us count them.
    pub(super) async fn dead_letters(&self) -> Result<Option<u64>, Failure> {
        match self.commands.call("XLEN", [self.dead_letter_stream.as_str()].into()).await {
            Ok(reply) => Ok(reply.int().and_then(|count| u64::try_from(count).ok())),
            Err(Failure::Refused(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Moves an entry to the dead-letter stream and acknowledges it, in one step.
    pub(super) async fn dead_letter(
        &self,
        id: EntryId,
        key: &Bytes,
        about: &[(&'static str, String)],
    ) -> Result<DeadLettered, Failure> {
        let mut args = self.member();
        args.text(id.to_string()).push(key.clone());
        for (name, value) in about {
            args.word(name).text(value.as_str());
        }
        let keys = [self.stream.as_str(), &self.dead_letter_stream, &self.keys, &self.state];
        let reply = self.commands.script(&self.dead_letter, &keys, args).await?;
        match (&reply, reply.string()) {
            (Reply::Nil, _) => Ok(DeadLettered::NotOurs),
            (_, Some(id)) if id.is_empty() => Ok(DeadLettered::Gone),
            (_, Some(id)) => Ok(DeadLettered::As(id)),
            (_, None) => Err(unexpected("the dead-letter script")),
        }
    }

    /// What every script is told first.
    fn member(&self) -> Args {
        Args::from([self.name.as_str(), &self.consumer, &self.token])
    }
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn number(reply: &Reply) -> u64 {
    reply.int().and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn id(reply: &Reply) -> Option<EntryId> {
    reply.string()?.parse().ok()
}

fn begun(reply: &Reply) -> Option<Begun> {
    match reply {
        Reply::Nil => Some(Begun::NotOurs),
        Reply::List(fields) => fields_of(fields).map(Begun::Counted),
        Reply::Int(_) | Reply::Text(_) => None,
    }
}

/// Copied: a field is a slice of the whole reply, and would keep all of it in memory for as long as
/// one entry of it waits.
fn fields_of(fields: &[Reply]) -> Option<Vec<Bytes>> {
    fields.iter().map(|field| field.text().map(|text| Bytes::copy_from_slice(text))).collect()
}

/// `[[[id, attempts, uncounted, bytes, key, type, [name, value, …]], …], more, own]`
fn found(reply: &Reply) -> Option<Found> {
    let [entries, more, own] = reply.items() else { return None };
    let more = match more.string()?.as_str() {
        "now" => More::Now,
        "full" => More::Full,
        last => More::Behind(last.to_owned()),
    };
    let (all, is_resuming) = (Vec::with_capacity(entries.items().len()), own.int() == Some(1));
    let mut found = Found { entries: all, gone: Vec::new(), more, is_resuming };
    for entry in entries.items() {
        let [entry_id, attempts, uncounted, bytes, key, event_type, fields] = entry.items() else {
            return None;
        };
        let id = id(entry_id)?;
        let Ok(bytes) = usize::try_from(bytes.int()?) else {
            found.gone.push(id);
            continue;
        };
        let number = |reply: &Reply| Some(u32::try_from(reply.int()?).unwrap_or(u32::MAX));
        let fields = Some(fields_of(fields.items())?).filter(|fields| !fields.is_empty());
        found.entries.push(Held {
            id,
            key: Bytes::copy_from_slice(key.text()?),
            event_type: Bytes::copy_from_slice(event_type.text()?),
            attempts: number(attempts)?,
            uncounted: number(uncounted)?,
            bytes,
            fields,
        });
    }
    Some(found)
}

fn unexpected(command: &str) -> Failure {
    Failure::Unknown(format!("a reply to {command} of an unexpected form"))
}
