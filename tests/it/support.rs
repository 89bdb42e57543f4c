//! A stage for the relay: private servers, its configuration, the real binary, and what came out in
//! Redis.

mod certificates;
mod contents;
mod event_table;
mod events;
mod pgbouncer;
mod pooler;
mod programs;
mod rounds;
mod stage;
mod tools;
mod topology;

pub(crate) use certificates::{Authority, Identity, Valid};
pub(crate) use contents::held;
pub(crate) use event_table::{event_columns, event_table};
pub(crate) use events::{Numbered, check_numbered};
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use pooler::Pooler;
pub(crate) use programs::program;
pub(crate) use rounds::{read_rounds, write_rounds};
pub(crate) use stage::{Asked, Entry, LIMIT, Stage, entry, outbox};
pub(crate) use tools::{kubectl, python, tool};
pub(crate) use topology::{Topology, connected};
