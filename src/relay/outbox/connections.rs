//! What to do when the server lets the relay have fewer connections than it is configured for: work
//! with those, and say so.

use super::OutboxError;

/// With fewer nothing works: one for a claim, one for what looks after it.
pub(super) const LEAST: usize = 2;

/// Whether it was refused for want of room: SQLSTATE 53300, of server, database or role.
pub(super) fn are_too_few(error: &OutboxError) -> bool {
    matches!(error, OutboxError::Postgres(reason) if reason.contains("[53300]"))
}

/// How many of `wanted` can be held at once.
pub(super) async fn to_be_had<T, F: Future<Output = Result<T, OutboxError>>>(
    wanted: usize,
    open: impl Fn() -> F,
) -> usize {
    let mut held = Vec::with_capacity(wanted);
    while held.len() < wanted {
        match open().await {
            Ok(one) => held.push(one),
            Err(_refused) => break,
        }
    }
    held.len()
}

pub(super) fn tell(outbox: &str, had: usize, wanted: usize, error: &OutboxError) {
    tracing::error!(
        outbox,
        connections = had,
        wanted,
        reason = %error,
        "too few connections to Postgres: delivering with fewer batches in flight; raise the \
            role's connection limit (alter role … connection limit …) or max_connections (requires \
            a restart of Postgres), or lower in_flight"
    );
}
