//! How a daemon ends that could not do its work.

/// Why the daemon ends with an error. Each variant has its own exit status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaemonError {
    /// The configuration, the table or a privilege must be mended first: exit 78.
    #[error("{0}")]
    Configuration(String),
    /// A server cannot be reached: exit 69. Only `--once` gives up on that.
    #[error("{0}")]
    Unavailable(String),
    /// What was in flight could not be settled in time: exit 1.
    #[error("{0}")]
    Failed(String),
}
