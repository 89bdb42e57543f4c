//! `outflow check`: everything that keeps events from being delivered, or will one day, each with
//! what to do about it.

mod acl;
mod connections;
mod console;
mod console_role;
mod database;
mod durability;
mod event_table;
mod finding;
mod hazards;
mod horizon;
mod info;
mod journal;
mod keeps;
mod kept_table;
mod kind_of_server;
mod listen;
mod pauses;
mod reach;
mod replay;
mod replication;
mod session;
mod speaks;
mod store;
mod transport;
mod trial;
mod trimming;
mod unconnected;
mod unreached;

use crate::config::Config;

pub use finding::{Finding, Findings, Level, Remedy};

/// Looks at both servers.
pub async fn servers(config: &Config, findings: &mut Findings) {
    console::check(config, findings);
    let known = database::check(config, findings).await;
    store::check(config, &known, findings).await;
    listen::check(config, findings).await;
    console_role::check(config, findings).await;
}
