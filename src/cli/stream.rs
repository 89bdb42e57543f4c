//! `outflow stream`: what can be done with the streams, whoever reads them.

mod dead;

use clap::Subcommand;

use crate::config::{Config, Server};
use dead::DeadCommand;
use outflow_core::fault::Fault;

#[derive(Debug, Subcommand)]
pub(super) enum StreamCommand {
    /// List, show, retry or discard the entries that consumers could not handle
    #[command(subcommand)]
    Dead(DeadCommand),
}

impl StreamCommand {
    /// The servers whose addresses the configuration must have.
    pub(super) fn needed_servers(&self) -> &'static [Server] {
        match self {
            Self::Dead(command) if command.has_address() => &[],
            Self::Dead(_) => &[Server::Redis],
        }
    }
}

pub(super) async fn run(command: StreamCommand, config: Config) -> Result<(), Fault> {
    match command {
        StreamCommand::Dead(command) => dead::run(command, config).await,
    }
}
