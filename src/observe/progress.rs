//! Progress of `run --once`: after the first seconds, a line every 5 s with the events that are
//! left and what blocks them.

use std::time::Duration;

use crate::observe::metrics::{OutboxMetrics, OutboxState};

/// A drain that is over sooner needs no words.
pub(crate) const FIRST: Duration = Duration::from_secs(2);
/// Pause between two lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Logs until its task ends.
pub async fn tell(metrics: OutboxMetrics) {
    tokio::time::sleep(FIRST).await;
    loop {
        // The first look at the backlog may be under way.
        let OutboxState {
            outbox,
            delivered,
            backlog_events,
            problem,
            problem_seconds,
            parked,
            holds,
            ..
        } = metrics.state();
        let left = backlog_events;
        let parked: Vec<String> = parked
            .into_iter()
            .map(|parked| format!("{}: {}", parked.stream, parked.reason))
            .collect();
        if let Some(cause) = problem {
            tracing::warn!(
                outbox,
                delivered,
                left,
                cause,
                seconds = problem_seconds,
                "not draining: the relay cannot deliver and keeps retrying"
            );
        } else if let Some(hold) = holds.first() {
            tracing::warn!(outbox, delivered, left, cause = hold.why, "not draining: waiting");
        } else if !parked.is_empty() {
            tracing::warn!(
                outbox,
                delivered,
                left,
                parked = parked.join("; "),
                "draining; some streams are parked because they refuse their events"
            );
        } else {
            tracing::info!(outbox, delivered, left, "draining");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
