//! One line a minute for each outbox, so that a log shows how things went without a line for each
//! event.

use std::collections::HashMap;
use std::time::Duration;

use crate::observe::metrics::OutboxState;
use crate::observe::outboxes::Outboxes;

const PAUSE: Duration = Duration::from_mins(1);

/// Logs until its task ends.
pub async fn keep(outboxes: Outboxes) {
    let mut before: HashMap<String, u64> = HashMap::new();
    loop {
        tokio::time::sleep(PAUSE).await;
        for OutboxState {
            outbox,
            delivered,
            backlog_events,
            oldest_event_age_seconds,
            problem,
            ..
        } in outboxes.state()
        {
            let since_last =
                delivered.saturating_sub(before.insert(outbox.clone(), delivered).unwrap_or(0));
            tracing::info!(
                outbox,
                delivered = since_last,
                backlog = backlog_events,
                oldest_seconds = oldest_event_age_seconds,
                problem,
                "summary of the last minute"
            );
        }
    }
}
