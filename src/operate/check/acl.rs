//! What the relay's user may do in Redis, and what is missing as the lines to run.

use std::collections::BTreeSet;

use super::finding::{Findings, Known, Remedy, about, redis_line};
use super::unreached::allow;
use crate::operate::status::streams_of;
use crate::relay::options::OutboxOptions;
use crate::relay::sink::journal_key;
use outflow_connect::redis::{Args, Failure, Redis};
use outflow_core::fault::Fault;

const ABOUT: &str = "redis";
/// Stands for a stream that nobody has written to yet.
const PROBE: &str = "outflow-check";

/// A command that the scripts run, or that runs the scripts.
struct Command {
    name: &'static str,
    /// Words that make it a well-formed command, before and after the key.
    before: &'static [&'static str],
    after: &'static [&'static str],
    reads: bool,
    writes: bool,
}

const fn command(name: &'static str, after: &'static [&'static str], writes: bool) -> Command {
    Command { name, before: &[], after, reads: !writes, writes }
}

const fn script(name: &'static str) -> Command {
    Command { name, before: &["return 1", "1"], after: &[], reads: true, writes: true }
}

/// The last one is for streams, the others for the journal.
const COMMANDS: [Command; 9] = [
    command("HSET", &["f", "v"], true),
    command("HMGET", &["f"], false),
    command("HGET", &["f"], false),
    command("HDEL", &["f"], true),
    command("HGETALL", &[], false),
    command("HKEYS", &[], false),
    script("EVALSHA"),
    script("EVAL"),
    command("XADD", &["*", "f", "v"], true),
];
const XADD: usize = COMMANDS.len() - 1;
/// The first of those that run scripts, which come before it.
const EVALSHA: usize = XADD - 2;

/// A key that the relay uses.
struct Key {
    name: String,
    /// What the ACL says for it: all keys of a pattern, or leave to write to them only.
    rule: String,
    kind: Kind,
    /// Whether scripts declare it, for which they need to read it too.
    is_declared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Journal,
    Stream,
    /// A stream that may be used one day.
    Probe,
}

/// What is missing, as the rules that add it. Kept apart, since a pattern for a user who may use
/// all keys is refused, and with it all that is on the line.
#[derive(Debug, Default)]
struct Missing {
    commands: BTreeSet<String>,
    patterns: BTreeSet<String>,
}

pub(super) async fn check(
    redis: &Redis,
    user: &str,
    outboxes: &[OutboxOptions],
    known: &[Known],
    findings: &mut Findings,
) {
    let mut missing = Missing::default();
    let write = write_rule(redis).await;
    for (outbox, known) in outboxes.iter().zip(known) {
        // The scripts run where the streams are.
        let tag = outbox.stream.hash_tag().filter(|_| redis.is_cluster());
        let redis = match redis.server_of(tag.unwrap_or_default()).await {
            Ok(server) => server,
            Err(failure) => {
                let what = format!("the node of {} cannot be found: {failure}", outbox.stream);
                let remedy = allow(&failure, user, "see CLUSTER SLOTS");
                findings.wrong(Fault::from(failure).kind(), &about(outbox), what, remedy);
                continue;
            }
        };
        let existing = streams_of(&redis, &outbox.stream).await.unwrap_or_default();
        let keys = keys(outbox, known, existing, tag, write);
        match allowed(&redis, &keys).await {
            Ok(Some(allowed)) => missing.take(denied(&keys, &allowed, outbox, user, findings)),
            Ok(None) => {
                let all = everything(&keys);
                let what = format!(
                    "this version cannot be asked what user {user} may do; these permissions are \
                        needed"
                );
                return all
                    .lines(user)
                    .into_iter()
                    .for_each(|line| findings.warning(ABOUT, what.clone(), line));
            }
            // Without EVAL nothing can be asked.
            Err(failure) if failure.code() == Some("NOPERM") => missing.take(everything(&keys)),
            Err(failure) => {
                let what = format!("what user {user} may do cannot be asked: {failure}");
                let remedy = allow(&failure, user, "see the server's log");
                return findings.wrong(Fault::from(failure).kind(), ABOUT, what, remedy);
            }
        }
    }
    let lines = missing.lines(user);
    if lines.is_empty() {
        findings.ok(ABOUT, format!("user {user} has the permissions that are needed"));
    }
    for line in lines {
        let what = format!(
            "user {user} lacks permissions that the relay needs (if the relay has another user, \
                check as that)"
        );
        findings.refused(ABOUT, what, line);
    }
}

/// What a pattern begins with that is for writing only, as the relay's own are in the shipped ACL:
/// Redis 6 does not know it. Who may not ask for the version is told no by each version in other
/// words.
async fn write_rule(redis: &Redis) -> &'static str {
    let is_old = match redis.call("INFO", Args::from(["server"])).await {
        Ok(reply) => reply.string().is_some_and(|info| info.contains("redis_version:6.")),
        Err(failure) => failure.to_string().contains("or its subcommand"),
    };
    if is_old { "~" } else { "%W~" }
}

/// What is missing. A user who may write to some streams only is taken to be meant that way.
fn denied(
    keys: &[Key],
    allowed: &[[bool; COMMANDS.len()]],
    outbox: &OutboxOptions,
    user: &str,
    findings: &mut Findings,
) -> Missing {
    let mut missing = Missing::default();
    let may_add = |kind| {
        let of_kind = keys.iter().zip(allowed).filter(move |(key, _)| key.kind == kind);
        of_kind.map(|(_, allowed)| allowed[XADD]).collect::<Vec<bool>>()
    };
    let streams = may_add(Kind::Stream);
    let is_restricted =
        streams.contains(&true) && !streams.contains(&false) && may_add(Kind::Probe) == [false];
    for (key, may) in keys.iter().zip(allowed) {
        let mut of_key = Missing::default();
        for index in wanted(key).filter(|index| !may[*index]) {
            of_key.take(cause(index, key, may, allowed));
        }
        if key.kind == Kind::Probe && is_restricted {
            let what = format!(
                "user {user} may write to some streams of {} only; others are parked",
                outbox.stream
            );
            of_key
                .lines(user)
                .into_iter()
                .for_each(|line| findings.warning(&about(outbox), what.clone(), line));
        } else {
            missing.take(of_key);
        }
    }
    missing
}

/// Whether it is the command or the key: a command that is allowed on another key is allowed, and a
/// key on which another such command is allowed may be used. If neither is so, it may be both.
fn cause(
    index: usize,
    key: &Key,
    may: &[bool; COMMANDS.len()],
    allowed: &[[bool; COMMANDS.len()]],
) -> Missing {
    let command = &COMMANDS[index];
    let reads = COMMANDS.iter().zip(may).any(|(other, may)| *may && other.reads);
    let writes = COMMANDS.iter().zip(may).any(|(other, may)| *may && other.writes);
    let key_is_open = (reads || !command.reads) && (writes || !command.writes);
    let command_is_allowed = allowed.iter().any(|may| may[index]);
    let mut missing = Missing::default();
    if !command_is_allowed {
        missing.commands.insert(format!("+{}", command.name.to_lowercase()));
    }
    if command_is_allowed || !key_is_open {
        missing.patterns.insert(key.rule.clone());
    }
    missing
}

/// The commands that the relay uses on a key.
fn wanted(key: &Key) -> std::ops::Range<usize> {
    match key.kind {
        Kind::Journal => 0..XADD,
        Kind::Stream | Kind::Probe if key.is_declared => EVALSHA..COMMANDS.len(),
        Kind::Stream | Kind::Probe => XADD..COMMANDS.len(),
    }
}

fn everything(keys: &[Key]) -> Missing {
    Missing {
        commands: COMMANDS
            .iter()
            .map(|command| format!("+{}", command.name.to_lowercase()))
            .collect(),
        patterns: keys.iter().map(|key| key.rule.clone()).collect(),
    }
}

fn keys(
    outbox: &OutboxOptions,
    known: &Known,
    existing: Vec<String>,
    tag: Option<&str>,
    write: &str,
) -> Vec<Key> {
    // Before `migrate`, or without the right to read it, the journal has no name: any will do to
    // ask about.
    let name = |name: &str| journal_key(known.journal.as_deref().unwrap_or(name), tag);
    let rule = format!("~{}", name("*"));
    let mut keys = vec![Key { name: name(PROBE), rule, kind: Kind::Journal, is_declared: true }];
    let rule = format!("{}{}", if tag.is_some() { "~" } else { write }, outbox.stream.glob());
    let stream =
        |name: String, kind| Key { name, rule: rule.clone(), kind, is_declared: tag.is_some() };
    if outbox.stream.columns().next().is_none() {
        keys.extend(outbox.stream.render(&[]).map(|name| stream(name, Kind::Stream)));
        return keys;
    }
    let streams: BTreeSet<String> = known.streams.iter().cloned().chain(existing).collect();
    keys.extend(
        streams.into_iter().filter(|name| !name.is_empty()).map(|name| stream(name, Kind::Stream)),
    );
    let probe = outbox.stream.render(&vec![Some(PROBE.into()); outbox.stream.columns().count()]);
    keys.extend(probe.map(|name| stream(name, Kind::Probe)));
    keys
}

/// For each key, whether each command is allowed on it; `None` where Redis cannot tell.
async fn allowed(
    redis: &Redis,
    keys: &[Key],
) -> Result<Option<Vec<[bool; COMMANDS.len()]>>, Failure> {
    let mut args = Args::from([include_str!("acl.lua"), "0"]);
    for key in keys {
        for command in &COMMANDS {
            let words =
                [&[command.name], command.before, &[key.name.as_str()], command.after].concat();
            args.int(i64::try_from(words.len()).unwrap_or(i64::MAX));
            for word in words {
                args.text(word);
            }
        }
    }
    let reply = redis.call("EVAL", args).await?;
    let answer = reply.text().map(|bytes| bytes.to_vec()).unwrap_or_default();
    if answer.len() != keys.len() * COMMANDS.len() {
        return Ok(None);
    }
    let of_key = |bits: &[u8]| std::array::from_fn(|index| bits[index] == b'1');
    Ok(Some(answer.chunks_exact(COMMANDS.len()).map(of_key).collect()))
}

impl Missing {
    fn take(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.patterns.extend(other.patterns);
    }

    fn lines(&self, user: &str) -> Vec<Remedy> {
        let line = |rules: &BTreeSet<String>| {
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            (!rules.is_empty())
                .then(|| redis_line(format!("ACL SETUSER {user} {}", rules.join(" "))))
        };
        [&self.commands, &self.patterns].into_iter().filter_map(line).collect()
    }
}
