//! How much Redis keeps, and for how long there is room: what `INFO` does not say, or says in numbers only.

use super::{Findings, Remedy, advice};
use crate::redis::{Args, Redis, Reply};

const ABOUT: &str = "redis";
/// Of `maxmemory`, in percent: from here on it is soon full.
const FULL_SOON: u64 = 90;

/// Whether the append-only file reaches the disk. A user who may not ask is the rule.
pub(super) async fn appendfsync(redis: &Redis, findings: &mut Findings) {
    let Ok(reply) = redis.call("CONFIG", Args::from(["GET", "appendfsync"])).await else {
        return findings.ok(
            ABOUT,
            "whether appendfsync is everysec or always is for an administrator to see (CONFIG GET appendfsync)",
        );
    };
    match reply.items().get(1).and_then(Reply::string).as_deref() {
        Some("no") => findings.warning(
            ABOUT,
            "appendfsync is no: a crash of the machine loses what the system has not written yet, half a minute or more",
            Remedy::Redis("CONFIG SET appendfsync everysec".to_owned()),
        ),
        Some(other) => findings.ok(ABOUT, format!("appendfsync is {other}")),
        None => {}
    }
}

/// Whether there is room. That there is none is found by the trial of an append.
pub(super) fn memory<'a>(value: &impl Fn(&str) -> &'a str, findings: &mut Findings) {
    let number = |name: &str| value(name).parse::<u64>().unwrap_or(0);
    let (used, limit) = (number("used_memory"), number("maxmemory"));
    if limit == 0 {
        return;
    }
    let percent = used.saturating_mul(100) / limit;
    if percent >= FULL_SOON {
        let what = format!("{percent} % of maxmemory ({limit} bytes) are used: when it is full, Redis refuses events");
        findings.warning(
            ABOUT,
            what,
            advice("raise maxmemory (CONFIG SET maxmemory …), or let max_len trim the streams"),
        );
    } else {
        findings.ok(ABOUT, format!("{percent} % of maxmemory are used"));
    }
}
