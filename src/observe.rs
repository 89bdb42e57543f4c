//! What a running relay shows: metrics, health, backlog, spans, and the summary lines of its log.

pub mod backlog;
pub mod backlog_poller;
pub mod certificates;
pub mod health;
pub mod metrics;
pub mod outboxes;
pub mod progress;
pub mod summary;
pub mod traces;
pub(crate) mod transport;
