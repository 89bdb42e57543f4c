//! Redis as the rest of Outflow sees it: a connection, commands, scripts, replies. Only
//! `node.rs` and `link.rs` know fred.
//!
//! fred's defaults re-send a command whose connection was lost, wait without limit and queue
//! without limit (`max_command_attempts` 3, no command timeout, an unbounded buffer). Any of these
//! would append an event twice or hide an outage, so each is set here: one attempt, a timeout on
//! everything, a bounded queue. Who calls decides what to do about a command that has no answer;
//! nothing is repeated behind its back.
//!
//! # A cluster
//! is served by connections to single nodes and by `cluster.rs`, which finds the node, not by
//! fred's cluster client. That one (10.1) counts a redirection as an attempt: with one attempt it
//! follows none, with two it also sends again what was lost with a connection. And when it follows
//! an ASK, it takes the next reply on that connection for the one to ASKING, whoever's it is, so
//! that commands on their way there get each other's replies (`router/utils.rs`,
//! `send_asking_with_policy`).
//!
//! # Sentinels
//! are asked by `sentinel.rs`, not by fred's sentinel client. After its first connection that one
//! forgets the sentinels that it was told of in favour of those that they announce (addresses of
//! containers, or of a network inside), and it believes the first that answers
//! (`router/sentinel.rs`, `update_cached_client_state`, `connect_to_sentinel`).

mod address;
mod args;
mod client;
mod cluster;
mod endpoint;
mod failure;
mod keys;
mod link;
mod node;
mod replicas;
mod reply;
mod sentinel;
mod server;
mod topology;

pub use crate::address::BadUrl;
pub use address::{NAMES, has_parameter, with_parameter};
pub use args::Args;
pub use client::{Redis, Script};
pub use failure::{CLIENTS, DATABASE, Failure, ServerError};
pub use keys::slot;
pub use reply::Reply;
pub use server::{Server, server};
