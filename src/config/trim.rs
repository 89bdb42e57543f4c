//! `[outbox.trim]`: what may be trimmed, and which keys go together.

use std::collections::HashSet;
use std::time::Duration;

use super::Problem;
use super::file;
use crate::relay::options::{Trim, TrimWhen};

/// More than anybody has, and few enough to name in each call.
const GROUPS_MAX: usize = 64;
/// Redis counts in signed milliseconds and entries.
const NUMBER_MAX: u64 = i64::MAX as u64;
const DURATION_MAX: Duration = Duration::from_hours(24 * 365 * 100);

/// `max_len` was a key of the outbox itself.
pub(super) fn moved(max_len: Option<u64>) -> Result<(), Problem> {
    let Some(max_len) = max_len else { return Ok(()) };
    let remedy = if max_len == 0 {
        "remove it: nothing is trimmed by default".to_owned()
    } else {
        format!("write [outbox.trim] with when = \"length\" and max_len = {max_len}")
    };
    Err(Problem::new("max_len", "is a key of [outbox.trim] now").remedy(remedy))
}

pub(super) fn validate(given: file::Trim) -> Result<Trim, Problem> {
    let when = given.when.ok_or_else(|| missing("when"))?;
    let trim = Trim {
        when,
        groups: groups(given.groups.ok_or_else(|| missing("groups"))?)?,
        keep_read: duration(given.keep_read, "keep_read")?,
        keep_read_entries: number(given.keep_read_entries, "keep_read_entries")?,
        max_len: number(given.max_len, "max_len")?,
        max_age: duration(given.max_age, "max_age")?,
        stale_after: Some(duration(given.stale_group_after, "stale_group_after")?)
            .filter(|after| !after.is_zero()),
    };
    let is_set = |key: &str| match key {
        "keep_read" => !trim.keep_read.is_zero(),
        "keep_read_entries" => trim.keep_read_entries > 0,
        "max_len" => trim.max_len > 0,
        _ => !trim.max_age.is_zero(),
    };
    let (unused, needs): (&[&str], &str) = match when {
        TrimWhen::Never => (
            &["keep_read", "keep_read_entries", "max_len", "max_age"],
            "set when = \"consumed\", or when = \"length\" for max_len and max_age alone",
        ),
        TrimWhen::Length => (&["keep_read", "keep_read_entries"], "set when = \"consumed\""),
        TrimWhen::Consumed => (&[], ""),
    };
    if let Some(key) = unused.iter().find(|key| is_set(key)) {
        let name = name(when);
        let message = format!("has no effect with when = {name:?}");
        return Err(Problem::new(*key, message).remedy(format!("{needs}, or remove {key}")));
    }
    if when == TrimWhen::Length && !is_set("max_len") && !is_set("max_age") {
        let message = "\"length\" needs a limit: set max_len or max_age";
        return Err(Problem::new("when", message));
    }
    Ok(trim)
}

/// The groups whose lag counts are those that trimming waits for, too.
pub(super) fn lag_max(value: Option<u64>, trim: &Trim) -> Result<Option<u64>, Problem> {
    let value = number(value, "lag_max")?;
    if value > 0 && trim.groups.is_empty() {
        let message = "needs the names of the groups whose lag counts: set trim.groups";
        return Err(Problem::new("lag_max", message));
    }
    Ok((value > 0).then_some(value))
}

fn name(when: TrimWhen) -> &'static str {
    match when {
        TrimWhen::Never => "never",
        TrimWhen::Consumed => "consumed",
        TrimWhen::Length => "length",
    }
}

fn groups(given: Vec<String>) -> Result<Vec<String>, Problem> {
    if given.len() > GROUPS_MAX {
        let message = format!("found {} groups, expected at most {GROUPS_MAX}", given.len());
        return Err(Problem::new("groups", message));
    }
    let mut known = HashSet::new();
    for group in &given {
        if group.is_empty() {
            return Err(Problem::new("groups", "a name is empty"));
        }
        if !known.insert(group) {
            return Err(Problem::new("groups", format!("{group:?} is named twice")));
        }
    }
    Ok(given)
}

fn number(value: Option<u64>, key: &str) -> Result<u64, Problem> {
    let value = value.ok_or_else(|| missing(key))?;
    if value <= NUMBER_MAX {
        return Ok(value);
    }
    Err(Problem::new(key, format!("found {value}, expected a number up to {NUMBER_MAX}")))
}

fn duration(value: Option<Duration>, key: &str) -> Result<Duration, Problem> {
    let value = value.ok_or_else(|| missing(key))?;
    let text = |duration| humantime::format_duration(duration).to_string();
    if value > DURATION_MAX {
        let message = format!("found {}, expected 100 years at most", text(value));
        return Err(Problem::new(key, message));
    }
    // Ids of entries have milliseconds.
    if value.subsec_nanos() % 1_000_000 != 0 {
        return Err(Problem::new(key, format!("found {}, expected whole ms", text(value))));
    }
    Ok(value)
}

fn missing(key: &str) -> Problem {
    Problem::new(key, "is missing")
}
