//! What the relay's user needs to look at its streams and to trim them, and what `outflow stream`
//! needs to show all of them. Without it events are delivered all the same.

use super::commands::{COMMANDS, EVALSHA, MEMORY_USAGE, XADD, XINFO_CONSUMERS, XTRIM};
use super::missing::{Key, Kind, Missing, cause};
use crate::operate::check::finding::Findings;
use crate::relay::options::{OutboxOptions, TrimWhen};

const ABOUT: &str = "redis";

/// What is missing for the streams that are known, or for one that may come.
pub(super) fn denied(
    keys: &[Key],
    allowed: &[[bool; COMMANDS.len()]],
    outbox: &OutboxOptions,
) -> Missing {
    let is_known = keys.iter().any(|key| key.kind == Kind::Stream);
    let kind = if is_known { Kind::Stream } else { Kind::Probe };
    let mut missing = Missing::default();
    for (key, may) in keys.iter().zip(allowed).filter(|(key, _)| key.kind == kind) {
        let of_key = wanted(outbox).filter(|index| !may[*index]);
        of_key.for_each(|index| missing.take(cause(index, key, may, allowed)));
    }
    if !missing.patterns.is_empty() {
        missing.patterns = pattern(outbox).collect();
    }
    missing
}

/// All that it needs.
pub(super) fn everything(outbox: &OutboxOptions) -> Missing {
    let commands = wanted(outbox).map(|index| format!("+{}", COMMANDS[index].rule));
    Missing { commands: commands.collect(), patterns: pattern(outbox).collect() }
}

/// Whether `outflow stream` can show how much memory a stream takes.
pub(super) fn sees_memory(allowed: &[[bool; COMMANDS.len()]]) -> bool {
    allowed.iter().any(|may| may[MEMORY_USAGE])
}

/// No warning, because the relay itself does without: the shipped ACL gives this to another user.
pub(super) fn tell_of_memory(user: &str, findings: &mut Findings) {
    let line = format!("ACL SETUSER {user} +{}", COMMANDS[MEMORY_USAGE].rule);
    let what = format!(
        "user {user} may not run MEMORY USAGE, which only `outflow stream` needs, to show the \
            memory of a stream; if you run that as this user, run in redis-cli: {line}"
    );
    findings.ok(ABOUT, what);
}

pub(super) fn tell(
    missing: &Missing,
    user: &str,
    outboxes: &[OutboxOptions],
    findings: &mut Findings,
) {
    let trims = outboxes.iter().any(|outbox| outbox.trim.when != TrimWhen::Never);
    let lines = missing.lines(user);
    if lines.is_empty() {
        let what = if trims { "look at its streams and trim them" } else { "look at its streams" };
        return findings.ok(ABOUT, format!("user {user} may {what}"));
    }
    let what = if trims {
        "trim its streams and to measure them; the streams grow until Redis is full"
    } else {
        "look at its streams; there are no metrics of them and their groups"
    };
    for line in lines {
        findings.warning(ABOUT, format!("user {user} lacks permissions to {what}"), line);
    }
}

/// Commands of `upkeep.lua`, and those that run it.
pub(super) fn wanted(outbox: &OutboxOptions) -> impl Iterator<Item = usize> {
    let trims = outbox.trim.when != TrimWhen::Never;
    let sees_consumers = outbox.trim.stale_after.is_some();
    (EVALSHA..COMMANDS.len()).filter(move |index| match *index {
        XADD | MEMORY_USAGE => false,
        XINFO_CONSUMERS => sees_consumers,
        XTRIM => trims,
        _ => true,
    })
}

/// A script may only declare a key that it may read and write.
fn pattern(outbox: &OutboxOptions) -> impl Iterator<Item = String> {
    std::iter::once(format!("~{}", outbox.stream.glob()))
}
