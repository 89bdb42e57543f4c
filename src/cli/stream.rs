//! `outflow stream`: what can be done with the streams, whoever reads them.

mod dead;
mod look;

use clap::Subcommand;

use crate::config::{Config, Server};
use dead::DeadCommand;
use look::{ListArgs, ShowArgs};
use outflow_core::fault::Fault;

#[expect(clippy::large_enum_variant, reason = "there is one, parsed once")]
#[derive(Debug, Subcommand)]
pub(super) enum StreamCommand {
    /// List the streams with their groups: entries, memory, ages, lag, pending entries
    ///
    /// Lists the streams whose names fit the configuration. Asks only Redis.
    List(ListArgs),
    /// Show one stream with its groups and their consumers
    Show(ShowArgs),
    /// List, show, retry or discard the entries that consumers could not handle
    #[command(subcommand)]
    Dead(DeadCommand),
}

impl StreamCommand {
    /// The servers whose addresses the configuration must have.
    pub(super) fn needed_servers(&self) -> &'static [Server] {
        match self {
            Self::Dead(command) if command.has_address() => &[],
            Self::List(args) if args.has_address() => &[],
            Self::Show(args) if args.has_address() => &[],
            Self::Dead(_) | Self::List(_) | Self::Show(_) => &[Server::Redis],
        }
    }
}

pub(super) async fn run(command: StreamCommand, config: Config) -> Result<(), Fault> {
    match command {
        StreamCommand::Dead(command) => dead::run(command, config).await,
        StreamCommand::List(args) => look::list(args, config).await,
        StreamCommand::Show(args) => look::show(args, config).await,
    }
}
