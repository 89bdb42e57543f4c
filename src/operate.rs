//! What an operator asks for: check, status, where an event is, dead letters, migrations, pauses,
//! positions. The commands call it; each answers with data and prints nothing.

pub mod audit;
pub mod audit_log;
pub mod check;
pub mod connect;
pub mod dead_letters;
pub mod find;
mod members;
pub mod migrate;
pub mod parked;
pub mod pause;
pub mod position;
pub mod replay;
pub mod status;
pub mod stopping;
pub mod streams;
