//! A run in which the relay trims: when the late group comes, and what is said of it at the end.

use outflow_local::eventually;

use super::readers::{Readers, streams};
use super::run::say;
use super::stage::{LIMIT, Stage};

/// The late group comes when Redis is so full that the relay waits: until then nothing is trimmed.
pub(crate) async fn begin(stage: &Stage) {
    let Some((readers, memory)) = stage.trimmed() else { return };
    let is_full = eventually(LIMIT, "a full Redis", async || memory.seen().full > 0);
    is_full.await.expect("more is written than fits");
    let left = length(stage).await;
    readers.late_comes(stage).await;
    say(&format!("Redis is nearly full with {left} entries: the late group comes"));
}

/// Until this is dropped the slow group reads as fast as it can.
pub(crate) struct Hurry<'a>(&'a Readers);

pub(crate) fn hurry(stage: &Stage) -> Option<Hurry<'_>> {
    let (readers, _) = stage.trimmed()?;
    readers.hurry(true);
    Some(Hurry(readers))
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurry(false);
    }
}

/// Lets the groups read what is left. What is to be said of the run.
pub(crate) async fn finish(stage: &Stage, complaints: &mut Vec<String>) -> String {
    let Some((readers, memory)) = stage.trimmed() else { return String::new() };
    complaints.extend(readers.finish().await);
    let (seen, max) = (memory.seen(), memory.max());
    let left = length(stage).await;
    let handled = readers.handled();
    let handled = handled
        .iter()
        .map(|(_, streams)| streams.values().map(std::collections::BTreeMap::len).sum::<usize>());
    let handled = handled.max().unwrap_or(0);
    if seen.most >= max {
        complaints.push(format!("Redis used {} bytes of {max}", seen.most));
    }
    if seen.refused > 0 {
        complaints.push(format!("Redis was full for {} commands", seen.refused));
    }
    if left * 2 > handled {
        complaints.push(format!("of {handled} entries {left} are left: little was trimmed"));
    }
    let percent = |part: u64, of: u64| part * 100 / of.max(1);
    format!(
        "Redis at most {}% full (peak {}%) and to wait for at {}% of {} looks, {} refused \
            (and {} by the fault full), {} of {handled} entries trimmed, {} consumers killed, ",
        percent(seen.most, max),
        percent(seen.peak, max),
        percent(seen.full, seen.samples),
        seen.samples,
        seen.refused,
        seen.refused_by_fault,
        handled.saturating_sub(left),
        readers.deaths(),
    )
}

async fn length(stage: &Stage) -> usize {
    let mut length = 0;
    for stream in streams() {
        let of_stream = stage.command("XLEN", &[&stream]).await.ok().and_then(|reply| reply.int());
        length += of_stream.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
    }
    length
}
