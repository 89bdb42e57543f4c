//! How much Redis keeps, and for how long there is room: what `INFO` does not say, or says in
//! numbers only.

use super::finding::{Findings, advice, redis_line};
use super::info::{Info, Setting, setting};
use super::keeps::COMPLETE;
use crate::config::MemoryLimits;
use outflow_connect::redis::Redis;
use outflow_core::fault::FaultKind;

const ABOUT: &str = "redis";
/// Of `maxmemory`, in percent: from here on it is soon full.
const FULL_SOON: u64 = 90;
pub(super) const ROOM: &str = "raise maxmemory (CONFIG SET maxmemory …, and CONFIG REWRITE or the \
    server's arguments, so that a \
    restart does not undo it), remove data, or let the relay trim the streams ([outbox.trim])";

pub(super) fn append_only_file<'a>(value: &impl Fn(&str) -> &'a str, findings: &mut Findings) {
    if value("aof_enabled") != "1" {
        let what = "the append-only file is off, so a crash loses entries that were acknowledged \
            and whose rows are deleted";
        return findings.warning(ABOUT, what, redis_line("CONFIG SET appendonly yes"));
    }
    // A new one begins with a rewrite of what is there.
    let is_begun = value("aof_rewrite_in_progress") == "1" || value("aof_rewrite_scheduled") == "1";
    if value("aof_last_write_status") == "err" {
        let what = "Redis cannot write the append-only file";
        findings.wrong(FaultKind::Unavailable, ABOUT, what, advice("repair its disk"));
    } else if is_begun && value("aof_base_size") == "0" {
        let what =
            "the append-only file was switched on a moment ago and does not hold everything yet";
        findings.warning(ABOUT, what, advice(format!("{COMPLETE}; then check again")));
    } else {
        findings.ok(ABOUT, "the append-only file is on");
    }
}

/// Whether the append-only file reaches the disk. A user who may not ask is the rule.
pub(super) async fn appendfsync(redis: &Redis, findings: &mut Findings) {
    match setting(redis, "appendfsync").await {
        Setting::Untold => findings.ok(
            ABOUT,
            "this user may not read appendfsync; an administrator can (CONFIG GET appendfsync), \
                and it should be everysec or always",
        ),
        Setting::NoCommand => findings.ok(
            ABOUT,
            "appendfsync cannot be read, because the server does not have CONFIG; it should be \
                everysec or always",
        ),
        Setting::Is(value) if value == "no" => findings.warning(
            ABOUT,
            "appendfsync is no, so a crash of the machine loses the entries of the last half \
                minute or more",
            redis_line("CONFIG SET appendfsync everysec"),
        ),
        Setting::Is(other) => findings.ok(ABOUT, format!("appendfsync is {other}")),
    }
}

/// Whether there is room. That there is none is found by the trial of an append.
pub(super) fn memory(info: &Info, limits: Option<MemoryLimits>, findings: &mut Findings) {
    if let Some(MemoryLimits { pause, .. }) = limits {
        let policy = info.get("maxmemory_policy").unwrap_or_default();
        let why = match info.get("maxmemory") {
            None => Some("Redis does not tell its maxmemory"),
            Some("0" | "") => Some("Redis has no maxmemory"),
            Some(_) if !matches!(policy, "noeviction" | "") => {
                Some("Redis evicts keys (maxmemory-policy) when it is full")
            }
            Some(_) => None,
        };
        findings.ok(
            ABOUT,
            match why {
                Some(why) => format!("redis.memory_pause ({pause}%) is off, because {why}"),
                None => {
                    format!("the relay waits while Redis is {pause}% full (redis.memory_pause)")
                }
            },
        );
    }
    let number = |name: &str| info.get(name).unwrap_or_default().parse::<u64>().unwrap_or(0);
    let (used, limit) = (number("used_memory"), number("maxmemory"));
    if limit == 0 {
        return;
    }
    let percent = used.saturating_mul(100) / limit;
    if percent >= FULL_SOON {
        let what = format!(
            "Redis uses {percent}% of maxmemory ({limit} bytes); when it is full, it refuses events"
        );
        findings.warning(ABOUT, what, advice(ROOM));
    } else {
        findings.ok(ABOUT, format!("Redis uses {percent}% of maxmemory"));
    }
}
