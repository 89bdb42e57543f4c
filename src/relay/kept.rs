//! The kept outbox (`settle = "keep"`): rows stay, and the journal says how far each member has
//! read.
//!
//! What is here knows no Postgres connection: positions and pieces (pure), the journal in Redis,
//! the sink that moves a position with the entries that it appends, and what to do when a server
//! went back in time. `outbox::kept` reads the table.

pub mod healing;
pub mod history;
pub mod journal;
pub mod pieces;
pub mod position;
pub mod ring;
pub mod sink;
pub mod snapshot;
pub mod table;
