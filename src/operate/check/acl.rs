//! What the relay's user may do in Redis, and what is missing as the lines to run.

mod absent;
mod commands;
mod missing;
mod upkeep;

use std::collections::BTreeSet;

use super::finding::{Findings, Known, about};
use super::unreached::allow;
use crate::operate::status::streams_of;
use crate::relay::options::OutboxOptions;
use crate::relay::sink::journal_key;
use absent::Absent;
use commands::{COMMANDS, EVALSHA, XADD};
use missing::{Key, Kind, Missing, cause};
use outflow_connect::redis::{Args, Failure, Redis};
use outflow_core::fault::Fault;

const ABOUT: &str = "redis";
/// Stands for a stream that nobody has written to yet.
const PROBE: &str = "outflow-check";

pub(super) async fn check(
    redis: &Redis,
    user: &str,
    outboxes: &[OutboxOptions],
    known: &[Known],
    findings: &mut Findings,
) {
    let (mut missing, mut of_upkeep) = (Missing::default(), Missing::default());
    let mut absent = Absent::default();
    let mut sees_memory = true;
    let write = write_rule(redis).await;
    for (outbox, known) in outboxes.iter().zip(known) {
        // The scripts run where the streams are.
        let tag = outbox.stream.hash_tag().filter(|_| redis.is_cluster());
        let redis = match redis.server_of(tag.unwrap_or_default()).await {
            Ok(server) => server,
            Err(failure) => {
                let what = format!("cannot find the node of {}: {failure}", outbox.stream);
                let remedy = allow(&failure, user, "see CLUSTER SLOTS");
                findings.wrong(Fault::from(failure).kind(), &about(outbox), what, remedy);
                continue;
            }
        };
        let existing = streams_of(&redis, &outbox.stream).await.unwrap_or_default();
        let keys = keys(outbox, known, existing, tag, write);
        match allowed(&redis, &keys).await {
            Ok(Some(Allowed { may: allowed, lacks })) => {
                absent.take(&lacks, outbox);
                missing.take(denied(&keys, &allowed, outbox, user, findings));
                of_upkeep.take(upkeep::denied(&keys, &allowed, outbox));
                sees_memory &= upkeep::sees_memory(&allowed);
            }
            Ok(None) => {
                let mut all = everything(&keys);
                all.take(upkeep::everything(outbox));
                let what = format!(
                    "this version cannot say what user {user} may do; the relay needs these \
                        permissions"
                );
                return all
                    .lines(user)
                    .into_iter()
                    .for_each(|line| findings.warning(ABOUT, what.clone(), line));
            }
            // Without EVAL nothing can be asked.
            Err(failure) if failure.code() == Some("NOPERM") => {
                missing.take(everything(&keys));
                of_upkeep.take(upkeep::everything(outbox));
            }
            Err(failure) => {
                let what = format!("cannot find out what user {user} may do: {failure}");
                let remedy = allow(&failure, user, "see the server's log");
                return findings.wrong(Fault::from(failure).kind(), ABOUT, what, remedy);
            }
        }
    }
    let lines = missing.lines(user);
    absent.tell(findings);
    if lines.is_empty() {
        findings.ok(ABOUT, format!("user {user} has the permissions that the relay needs"));
    }
    for line in lines {
        let what = format!(
            "user {user} lacks permissions that the relay needs; if the relay uses another user, \
                run `outflow check` as that user"
        );
        findings.refused(ABOUT, what, line);
    }
    upkeep::tell(&of_upkeep, user, outboxes, findings);
    if !sees_memory {
        upkeep::tell_of_memory(user, findings);
    }
}

/// What a pattern begins with that is for writing only, as the relay's own are in the shipped ACL:
/// Redis 6 does not know it. Who may not ask for the version is told no by each version in other
/// words.
async fn write_rule(redis: &Redis) -> &'static str {
    let is_old = match redis.call("INFO", Args::from(["server"])).await {
        Ok(reply) => reply.string().is_some_and(|info| info.contains("redis_version:6.")),
        Err(failure) => {
            let words = failure.to_string();
            words.contains("or its subcommand") || words.contains("unknown command `")
        }
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
                "user {user} may write only to some streams of {}; the relay parks the others",
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

/// The commands that the relay uses on a key.
fn wanted(key: &Key) -> std::ops::Range<usize> {
    match key.kind {
        Kind::Journal => 0..XADD,
        Kind::Stream | Kind::Probe if key.is_declared => EVALSHA..XADD + 1,
        Kind::Stream | Kind::Probe => XADD..XADD + 1,
    }
}

fn everything(keys: &[Key]) -> Missing {
    Missing {
        commands: COMMANDS[..=XADD].iter().map(|command| format!("+{}", command.rule)).collect(),
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

/// What Redis says of the commands.
struct Allowed {
    /// For each key, whether each command is allowed on it. No rule allows what the server does not
    /// have: that counts as allowed.
    may: Vec<[bool; COMMANDS.len()]>,
    /// Which commands the server does not have.
    lacks: [bool; COMMANDS.len()],
}

/// `None` where Redis cannot tell.
async fn allowed(redis: &Redis, keys: &[Key]) -> Result<Option<Allowed>, Failure> {
    let mut args = Args::from([include_str!("acl.lua"), "0"]);
    for key in keys {
        for command in &COMMANDS {
            let name = [key.name.as_str()];
            let of_key = command.after.map(|after| [name.as_slice(), after].concat());
            let words = [&[command.name], command.before, &of_key.unwrap_or_default()].concat();
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
    let of_key = |bits: &[u8]| std::array::from_fn(|index| bits[index] != b'0');
    Ok(Some(Allowed {
        may: answer.chunks_exact(COMMANDS.len()).map(of_key).collect(),
        lacks: std::array::from_fn(|index| answer.get(index) == Some(&b'-')),
    }))
}
