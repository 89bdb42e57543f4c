//! One line a minute for each outbox, so that a log shows how things went without a line for each event.

use std::time::Duration;

use crate::metrics::{OutboxMetrics, Standing};

const PAUSE: Duration = Duration::from_mins(1);

/// Logs until its task ends.
pub async fn keep(outboxes: Vec<OutboxMetrics>) {
    let mut before: Vec<u64> = vec![0; outboxes.len()];
    loop {
        tokio::time::sleep(PAUSE).await;
        for (metrics, before) in outboxes.iter().zip(&mut before) {
            let Standing { outbox, delivered, backlog_events, oldest_event_age_seconds, .. } = metrics.standing();
            let since_last = delivered - std::mem::replace(before, delivered);
            tracing::info!(
                outbox,
                delivered = since_last,
                backlog = backlog_events,
                oldest_seconds = oldest_event_age_seconds,
                "the last minute"
            );
        }
    }
}
