//! What to do when the server lets the relay have fewer connections than it is configured for: work
//! with those, and say so.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use super::OutboxError;
use outflow_connect::postgres::describe_pool;

/// With fewer nothing works: one for a claim, one for what looks after it.
pub(super) const LEAST: usize = 2;

/// Why a pool has no connection for us.
pub(super) fn refused(error: &PoolError) -> OutboxError {
    let reason = describe_pool(error);
    match error {
        PoolError::Backend(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
            OutboxError::Full(reason)
        }
        _ => OutboxError::Postgres(reason),
    }
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
