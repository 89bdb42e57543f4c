//! Why the store did not do what was asked.

use deadpool_postgres::PoolError;
use outflow_connect::postgres::{describe, describe_pool, is_outage};
use outflow_producer::tokio_postgres::WriteError;
use uuid::Uuid;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Postgres cannot be used at the moment, and nothing was changed: worth trying again.
    #[error("{0}")]
    Unavailable(String),
    /// There is no outbox to write events to, and nothing was changed.
    #[error("the outbox table is missing: run `outflow migrate`")]
    NotMigrated,
    /// The connection was lost during the commit of a change of this order: it may have been made,
    /// or not.
    #[error("order {0}: no answer to COMMIT: {1}")]
    Unknown(Uuid, String),
    /// A fault of ours, or of the tables: trying again will not help. Nothing was changed.
    #[error("{0}")]
    Broken(String),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        // A table that is missing will be there once somebody has migrated: no fault of the
        // request.
        let missing = error.code().is_some_and(|code| matches!(code.code(), "42P01" | "3F000"));
        if missing || is_outage(&error) {
            Self::Unavailable(describe(&error))
        } else {
            Self::Broken(describe(&error))
        }
    }
}

impl From<WriteError> for StoreError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Database { source, .. } => source.into(),
            other => Self::Broken(other.to_string()),
        }
    }
}

impl From<&PoolError> for StoreError {
    fn from(error: &PoolError) -> Self {
        Self::Unavailable(describe_pool(error))
    }
}
