//! One consumer's place in its group on one stream: every command that it sends to Redis.

use std::time::Duration;

use bytes::Bytes;

use super::id::EntryId;
use super::{Settings, Source};
use crate::redis::{Args, Failure, Redis, Reply, Script};

/// The group's member that we are, over two connections: a blocking read holds up whatever else its connection is asked.
#[derive(Debug)]
pub(super) struct Group {
    commands: Redis,
    waits: Redis,
    pub(super) source: Source,
    /// The group's name.
    name: String,
    consumer: String,
    /// The hash of the keys that are being worked on (read.lua).
    keys: String,
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
    /// The ordering key; empty when it has none.
    pub(super) key: String,
    /// How often it was attempted before.
    pub(super) attempts: u32,
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
pub(super) enum Buried {
    /// It is in the dead-letter stream, under this id.
    As(String),
    /// The message is gone from the stream: there was nothing to move, and it is acknowledged.
    Gone,
    /// It is not ours any more.
    NotOurs,
}

/// How the group stands on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) pending: i64,
    pub(super) oldest_pending: Option<EntryId>,
    /// Entries that nobody has read yet; Redis does not always know (after deletions from the stream's middle).
    pub(super) lag: Option<i64>,
}

/// Entries that a script looks at in one step: far below what Lua's `unpack` takes.
const STEP: i64 = 500;
/// The idle time of entries that were given back: longer than anybody's `claim_idle`.
const GIVEN_BACK: Duration = Duration::from_hours(24 * 365);

impl Group {
    pub(super) fn new(commands: Redis, waits: Redis, source: Source, settings: &Settings) -> Self {
        let keys = source.keys(&settings.group, commands.is_cluster());
        Self {
            commands,
            waits,
            source,
            name: settings.group.clone(),
            consumer: settings.consumer.clone(),
            keys,
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

    /// Creates the group, from the beginning of the stream (`$` would skip what came before), and the stream with it.
    /// Returns whether it was missing.
    pub(super) async fn create(&self) -> Result<bool, Failure> {
        let args = ["CREATE", &self.source.stream, &self.name, "0", "MKSTREAM"].into();
        match self.commands.call("XGROUP", args).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("BUSYGROUP") => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// At most `count` entries for us behind `cursor`, the last one that we know of: ours already, or new. See read.lua.
    pub(super) async fn read(&self, count: usize, cursor: EntryId, pending_max: usize) -> Result<Found, Failure> {
        let mut args = self.member();
        args.int(integer(count)).text(cursor.to_string()).int(integer(pending_max));
        let reply = self.commands.script(&self.read, &[&self.source.stream, &self.keys], args).await?;
        found(&reply).ok_or_else(|| unexpected("the read script"))
    }

    /// Waits until there is an entry behind `last`, at most `block`. Hands nothing out.
    pub(super) async fn wait(&self, last: &str, block: Duration) -> Result<(), Failure> {
        let mut args = Args::from(["COUNT", "1", "BLOCK"]);
        args.int(millis(block).max(1)).word("STREAMS").text(self.source.stream.as_str()).text(last);
        self.waits.call_blocking("XREAD", args, block).await.map(drop)
    }

    /// Sets how often entries were attempted; for those with `true`, returns their fields: none when the message is gone.
    pub(super) async fn attempts(&self, entries: &[(EntryId, u32, bool)]) -> Result<Vec<Begun>, Failure> {
        let mut args = self.member();
        for (id, attempts, fetch) in entries {
            args.text(id.to_string()).int(*attempts).word(if *fetch { "1" } else { "0" });
        }
        let reply = self.commands.script(&self.attempts, &[&self.source.stream], args).await?;
        let begun: Option<Vec<Begun>> = reply.items().iter().map(begun).collect();
        begun.filter(|begun| begun.len() == entries.len()).ok_or_else(|| unexpected("the attempts script"))
    }

    /// Acknowledges entries, given with their keys, unless they are not ours any more.
    pub(super) async fn acknowledge(&self, entries: &[(EntryId, String)]) -> Result<(), Failure> {
        let mut args = self.member();
        for (id, key) in entries {
            args.text(id.to_string()).text(key.as_str());
        }
        self.commands.script(&self.acknowledge, &[&self.source.stream, &self.keys], args).await.map(drop)
    }

    /// Keeps other consumers from taking over what we have. Returns what that is.
    pub(super) async fn heartbeat(&self) -> Result<Vec<EntryId>, Failure> {
        let mut args = self.member();
        args.int(STEP);
        let reply = self.commands.script(&self.heartbeat, &[&self.source.stream], args).await?;
        reply.items().iter().map(id).collect::<Option<_>>().ok_or_else(|| unexpected("the heartbeat script"))
    }

    /// Takes over what consumers have that have shown no sign of life for `claim_idle`; counts no attempt.
    pub(super) async fn reclaim(&self, claim_idle: Duration) -> Result<Reclaimed, Failure> {
        let mut args = self.member();
        args.int(millis(claim_idle)).int(STEP);
        let reply = self.commands.script(&self.reclaim, &[&self.source.stream], args).await?;
        let [taken, gone, consumers] = reply.items() else { return Err(unexpected("the reclaim script")) };
        let number = |reply: &Reply| reply.int().and_then(|number| u64::try_from(number).ok()).unwrap_or_default();
        let consumers = consumers.items().iter().filter_map(Reply::string).collect();
        Ok(Reclaimed { taken: number(taken), gone: number(gone), consumers })
    }

    /// Lets others take over at once what we have. Returns how much that is.
    pub(super) async fn give_back(&self) -> Result<i64, Failure> {
        let mut args = self.member();
        args.int(millis(GIVEN_BACK)).int(STEP);
        let reply = self.commands.script(&self.give_back, &[&self.source.stream], args).await?;
        reply.int().ok_or_else(|| unexpected("the give-back script"))
    }

    /// Removes consumers from the group that have nothing pending and were not seen for `forget_idle`.
    pub(super) async fn forget(&self, forget_idle: Duration) -> Result<Vec<String>, Failure> {
        let mut args = self.member();
        args.int(millis(forget_idle));
        let reply = self.commands.script(&self.forget, &[&self.source.stream], args).await?;
        Ok(reply.items().iter().filter_map(Reply::string).collect())
    }

    /// How the group stands.
    pub(super) async fn standing(&self) -> Result<Standing, Failure> {
        let stream = self.source.stream.as_str();
        let groups = self.commands.call("XINFO", ["GROUPS", stream].into()).await?;
        let value = |about: &Reply, name: &str| {
            let pairs = about.items().chunks_exact(2);
            pairs.into_iter().find(|pair| pair[0].string().as_deref() == Some(name)).map(|pair| pair[1].clone())
        };
        let ours = |about: &&Reply| value(about, "name").and_then(|name| name.string()).as_deref() == Some(&self.name);
        let about = groups.items().iter().find(ours).ok_or_else(|| Failure::Refused("NOGROUP no such group".into()))?;
        let summary = self.commands.call("XPENDING", [stream, &self.name].into()).await?;
        Ok(Standing {
            pending: value(about, "pending").and_then(|pending| pending.int()).unwrap_or_default(),
            oldest_pending: summary.items().get(1).and_then(id),
            lag: value(about, "lag").and_then(|lag| lag.int()),
        })
    }

    /// Moves an entry to the dead-letter stream and acknowledges it, in one step.
    pub(super) async fn bury(
        &self,
        id: EntryId,
        key: &str,
        about: &[(&'static str, String)],
    ) -> Result<Buried, Failure> {
        let mut args = self.member();
        args.text(id.to_string()).text(key);
        for (name, value) in about {
            args.word(name).text(value.as_str());
        }
        let keys = [self.source.stream.as_str(), &self.source.dead_letter_stream, &self.keys];
        let reply = self.commands.script(&self.dead_letter, &keys, args).await?;
        match (&reply, reply.string()) {
            (Reply::Nil, _) => Ok(Buried::NotOurs),
            (_, Some(id)) if id.is_empty() => Ok(Buried::Gone),
            (_, Some(id)) => Ok(Buried::As(id)),
            (_, None) => Err(unexpected("the dead-letter script")),
        }
    }

    /// Closes the connection for commands. The one that waits is dropped: QUIT would wait with it.
    pub(super) async fn close(&self) {
        self.commands.clone().close().await;
    }

    /// What every script is told first.
    fn member(&self) -> Args {
        Args::from([self.name.as_str(), &self.consumer])
    }
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
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

fn fields_of(fields: &[Reply]) -> Option<Vec<Bytes>> {
    fields.iter().map(|field| field.text().cloned()).collect()
}

/// `[[[id, attempts, [name, value, …]], …], more]`
fn found(reply: &Reply) -> Option<Found> {
    let [entries, more] = reply.items() else { return None };
    let more = match more.string()?.as_str() {
        "now" => More::Now,
        "full" => More::Full,
        last => More::Behind(last.to_owned()),
    };
    let mut found = Found { entries: Vec::with_capacity(entries.items().len()), gone: Vec::new(), more };
    for entry in entries.items() {
        let [entry_id, attempts, fields] = entry.items() else { return None };
        let (id, fields) = (id(entry_id)?, fields_of(fields.items())?);
        if fields.is_empty() {
            found.gone.push(id);
            continue;
        }
        let attempts = u32::try_from(attempts.int()?).unwrap_or(u32::MAX);
        found.entries.push(Held { id, key: key(&fields), attempts, fields: Some(fields) });
    }
    Some(found)
}

/// As the script sees it: the first field of that name. One that is no text is a key all the same.
fn key(fields: &[Bytes]) -> String {
    let key = fields.chunks_exact(2).find(|pair| &pair[0][..] == b"key").map(|pair| &pair[1]);
    key.map(|key| String::from_utf8_lossy(key).into_owned()).unwrap_or_default()
}

fn unexpected(command: &str) -> Failure {
    Failure::Unknown(format!("a reply to {command} of an unexpected form"))
}
