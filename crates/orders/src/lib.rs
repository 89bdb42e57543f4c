//! The small order domain that both companions share: an API that produces events, and the steps
//! that consume them.
//!
//! ```text
//!  POST /orders ─▶ request (checks) ─▶ store: order row + event, one transaction ─▶ outbox
//!                                                                                       │
//!                      saga: inbox row + effect + event, ◀─ outflow_consumer ◀─ stream ◀─ relay
//!                      one transaction ─▶ outbox
//! ```

pub mod api;
pub mod body;
pub mod idempotency;
mod json;
pub mod limits;
pub mod listing;
mod metrics;
pub mod money;
mod observe;
pub mod options;
pub mod order;
pub mod probes;
pub mod problem;
pub mod request;
mod retention;
pub mod saga;
pub mod schema;
pub mod store;
mod store_error;
pub mod trace;
