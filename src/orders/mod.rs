//! The small order domain that both companions share: an API that produces events, and the effect that consumes them.
//!
//! ```text
//!  POST /orders ─▶ request (checks) ─▶ store: order row + event, one transaction ─▶ outbox ─▶ relay ─▶ stream
//!                                                                                                       │
//!  orders.inventory ◀── stock: inbox row + reservation, one transaction ◀── outflow::consumer ◀─────────┘
//! ```

pub mod api;
pub mod dead;
mod json;
mod metrics;
pub mod money;
pub mod options;
pub mod order;
pub mod probes;
pub mod problem;
pub mod request;
pub mod schema;
pub mod server;
pub mod stock;
pub mod store;
pub mod trace;
