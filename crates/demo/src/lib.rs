//! The demo: private servers, the real programs, orders placed through them, and a count of what
//! arrives.
//!
//! ```text
//!                                     ┌──────────── what each step tells ───────────┐
//!                                     ▼                                             │
//! Shop ─ POST /orders ─▶ order-api ─▶ outbox ─▶ outflow ─▶ events.* ─▶ order-consumer × 3
//!   │                                                          │                  │
//!   └──────────── placed ──────────▶ Ledger ◀──── relayed ─── Feed     Effects: what they did
//! ```
//!
//! The ledger compares what the API promised with what the stream and the consumer's tables hold;
//! it trusts nothing that the relay says about itself.

mod board;
mod console;
mod effects;
mod feed;
mod http;
mod interrupt;
mod ledger;
mod plan;
mod session;
mod shop;
mod stack;

pub use interrupt::Interrupts;
pub use ledger::Tally;
pub use plan::Plan;
pub use session::{Outcome, run};

/// The stream that the relay's template `events.{aggregate_type}` makes for orders.
const STREAM: &str = "events.order";
/// The consumer group, which is also the name under which the inbox remembers what was handled.
const GROUP: &str = "inventory";
