//! Why nothing is delivered: what the members say, and what can be seen from here. Pure.

use super::report::{Member, OutboxStatus};

/// Ends of causes, and the beginning of one, that point to what is reported by itself.
const SEE_PAUSED: &str = "; see the paused streams";
const SEE_PARKED: &str = "; see the parked streams";
const PAUSED: &str = "paused ";

/// Whether a cause only sums up pauses or parked streams, which the report names one by one.
pub fn is_said_apart(cause: &str) -> bool {
    cause.starts_with(PAUSED) || cause.ends_with(SEE_PAUSED) || cause.ends_with(SEE_PARKED)
}

/// Everything that keeps events of this outbox waiting; none if nothing does that is known.
pub(super) fn of(outbox: &OutboxStatus) -> Vec<String> {
    let mut causes = Vec::new();
    let waits = outbox.backlog_events.is_some_and(|events| events > 0);
    let (standbys, active): (Vec<&Member>, Vec<&Member>) =
        outbox.members.iter().partition(|member| member.standby.is_some());
    if waits && outbox.generation.is_some() && outbox.members.is_empty() {
        causes.push("no relay is at work".to_owned());
    }
    for member in &active {
        if let Some(problem) = &member.problem {
            causes.push(format!(
                "{}: {} (since {:.0})",
                named(member),
                problem.reason,
                problem.since
            ));
        }
    }
    for (member, hold) in
        active.iter().flat_map(|member| member.holds.iter().map(move |h| (member, h)))
    {
        causes.push(format!("{}: {} (since {:.0})", named(member), hold.why, hold.since));
    }
    if let (true, Some(standby)) =
        (active.is_empty(), standbys.first().and_then(|first| first.standby.as_ref()))
    {
        causes.push(format!(
            "every relay is on standby: {} (since {:.0})",
            standby.reason, standby.since
        ));
    }
    for paused in outbox.paused.iter().map(|paused| &paused.pause) {
        if paused.stream.is_none() {
            causes.push(format!("{PAUSED}{paused}"));
        }
    }
    causes.extend(of_some_streams(outbox));
    causes
}

/// Those of them that are about the events of some streams only.
pub fn of_some_streams(outbox: &OutboxStatus) -> Vec<String> {
    let mut causes = Vec::new();
    let paused: i64 = outbox.paused.iter().filter_map(|paused| paused.events).sum();
    if paused > 0 {
        causes.push(format!("{paused} events wait for paused streams{SEE_PAUSED}"));
    }
    match outbox.parked_events {
        Some(parked) if parked > 0 => {
            let (least, all) = if outbox.parked_unnamed > 0 {
                ("at least ", "not all of these streams are named")
            } else if outbox.backlog_events == Some(parked) {
                ("", "all of them")
            } else {
                ("", "the others are not held up")
            };
            causes.push(format!(
                "{least}{parked} events wait for streams that refuse them ({all}){SEE_PARKED}"
            ));
        }
        _ => {}
    }
    causes
}

/// How a relay is called.
fn named(member: &Member) -> String {
    format!("relay #{} on {}", member.number, member.host)
}
