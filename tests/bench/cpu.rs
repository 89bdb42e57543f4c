//! CPU time and memory of processes, as /proc tells them.

use std::fs;
use std::time::Duration;

use super::Outcome;

/// `USER_HZ`, which Linux shows to programs on every machine of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/PID/stat` says of one process.
struct Stat {
    parent: u32,
    /// Its own user and system time.
    own: f64,
    /// The same of its children that have ended and were waited for.
    ended_children: f64,
}

/// CPU seconds of a process itself.
pub(crate) fn of_process(pid: u32) -> Outcome<f64> {
    Ok(stat(pid)?.own)
}

/// CPU seconds of a process and of all its children, those that have ended included: a Postgres
/// server.
pub(crate) fn of_family(pid: u32) -> Outcome<f64> {
    let parent = stat(pid)?;
    let pids = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A process may end while we look; its time is in `ended_children` the next time.
    let children = pids.filter_map(|child| stat(child).ok()).filter(|child| child.parent == pid);
    Ok(parent.own + parent.ended_children + children.map(|child| child.own).sum::<f64>())
}

/// CPU seconds of our own children that have ended.
pub(crate) fn of_ended_children() -> Outcome<f64> {
    Ok(stat(std::process::id())?.ended_children)
}

/// CPU time of the threads of a process to the nanosecond, for those that use hardly any.
pub(crate) fn of_threads(pid: u32) -> Outcome<Duration> {
    let mut total = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let nanos = text.split_whitespace().next().and_then(|first| first.parse().ok());
        total += Duration::from_nanos(nanos.ok_or("schedstat of an unexpected form")?);
    }
    Ok(total)
}

/// `VmHWM` (most ever) or `VmRSS` (now) of a process, in megabytes of 1,000,000 bytes.
pub(crate) fn memory(pid: u32, field: &str) -> Outcome<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .ok_or("no such line in /proc/PID/status")?;
    let kibibytes: f64 =
        line.split_whitespace().nth(1).ok_or("a line without a number")?.parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

fn stat(pid: u32) -> Outcome<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, so that fields are counted from behind it: state,
    // parent …
    let (_, rest) = text.rsplit_once(')').ok_or("stat of an unexpected form")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| -> Outcome<f64> {
        Ok(fields.get(index).ok_or("a short stat")?.parse::<f64>()?)
    };
    Ok(Stat {
        parent: fields.get(1).ok_or("a short stat")?.parse()?,
        own: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        ended_children: (ticks(13)? + ticks(14)?) / TICKS_PER_SECOND,
    })
}
