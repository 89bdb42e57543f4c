//! How an act of many steps ends when it is told to: its step under way may end, within a limit,
//! and the audit says how far it came.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long a step may go on once it was told to stop.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of an act waits for the audit.
pub const AUDIT_PATIENCE: Duration = Duration::from_secs(3);

/// Waits for a stop, and then for as long as a step may go on.
pub async fn is_overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_PATIENCE).await;
}

/// How an act has ended, as the audit has it.
pub fn ended(is_well: bool, stop: &CancellationToken) -> &'static str {
    match (is_well, stop.is_cancelled()) {
        (true, false) => "done",
        (true, true) => "stopped",
        (false, _) => "failed",
    }
}
