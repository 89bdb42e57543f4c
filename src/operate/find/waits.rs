//! What a row waits for. Pure.

use super::found::Behind;
use super::postgres::is_capped;
use crate::operate::status::{OutboxStatus, of_some_streams};
use crate::relay::outbox::lookup::{Ahead, Match};

/// What is known of why a row waits. `owners`: the members that own the slots.
pub(super) fn behind(
    row: &Match,
    ahead: Option<Ahead>,
    owners: &[i32],
    status: Option<&OutboxStatus>,
) -> Behind {
    let mut causes = Vec::new();
    if row.order.is_none() {
        causes.push("its order column is null, and no claim comes to it".to_owned());
    }
    if row.stream.is_none() {
        let what = "it names no stream: it will be a dead letter with the reason no_stream";
        causes.push(what.to_owned());
    }
    if let Some(status) = status {
        causes.extend(of_stream(row, status));
        causes.extend(of_slot(row, owners, status));
        // Those of other streams are not in its way.
        let others = of_some_streams(status);
        causes.extend(status.causes.iter().filter(|cause| !others.contains(cause)).cloned());
    }
    Behind {
        rows: ahead.map(|ahead| ahead.rows),
        of_key: ahead.map(|ahead| ahead.of_key),
        of_stream: ahead.map(|ahead| ahead.of_stream),
        is_capped: ahead.as_ref().is_some_and(is_capped),
        causes,
    }
}

fn of_stream(row: &Match, status: &OutboxStatus) -> Vec<String> {
    let is_its = |stream: &str| row.stream.as_deref() == Some(stream);
    let parked = status.parked.iter().filter(|parked| is_its(&parked.stream.stream));
    let parked = parked.map(|parked| {
        let stream = &parked.stream;
        let (name, since, next) = (&stream.stream, stream.since, stream.next_probe);
        format!(
            "stream {name} is parked since {since:.0}: {}; next attempt at {next:.0}",
            stream.reason
        )
    });
    let paused = status.paused.iter().map(|paused| &paused.pause);
    let paused = paused.filter(|pause| pause.stream.as_deref().is_some_and(is_its));
    let paused = paused.map(|pause| {
        format!("stream {} is paused {pause}", row.stream.as_deref().unwrap_or_default())
    });
    parked.chain(paused).collect()
}

/// Whoever owns its slot is not at work, although others are.
fn of_slot(row: &Match, owners: &[i32], status: &OutboxStatus) -> Option<String> {
    let slot = row.slot;
    let owner = usize::try_from(slot).ok().and_then(|slot| owners.get(slot));
    let is_at_work = |owner: &i32| status.members.iter().any(|member| member.number == *owner);
    match owner {
        _ if status.members.is_empty() => None,
        None => Some(format!("nobody relays slot {slot} of its key")),
        Some(owner) if !is_at_work(owner) => Some(format!(
            "slot {slot} of its key belongs to relay #{owner}, which is not at work; the others \
                take it over"
        )),
        Some(_) => None,
    }
}
