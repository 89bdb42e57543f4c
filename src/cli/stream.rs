//! `outflow stream`: what can be done with the streams, whoever reads them.

mod dead;
mod drop_group;
mod look;
mod retry;

use clap::Subcommand;

use crate::config::{Config, Server};
use dead::DeadCommand;
use drop_group::DropGroupArgs;
use look::{ListArgs, ShowArgs};
use outflow_core::fault::Fault;
use retry::RetryArgs;

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
    /// Try a parked stream now, instead of after its pause
    ///
    /// A relay parks a stream that refuses its events, and tries it again after a pause of up to a
    /// minute. Use this after you have removed the cause. Other events are not affected.
    Retry(RetryArgs),
    /// Remove a consumer group that nobody uses any more
    ///
    /// Its pending entries are never handled. The command refuses while one of the group's
    /// consumers is active.
    DropGroup(DropGroupArgs),
}

impl StreamCommand {
    /// The servers whose addresses the configuration must have.
    pub(super) fn needed_servers(&self) -> &'static [Server] {
        match self {
            Self::Dead(command) if command.has_address() => &[],
            Self::List(args) if args.has_address() => &[],
            Self::Show(args) if args.has_address() => &[],
            Self::Dead(_) | Self::List(_) | Self::Show(_) => &[Server::Redis],
            Self::Retry(_) => &[Server::Postgres],
            Self::DropGroup(_) => &[Server::Postgres, Server::Redis],
        }
    }
}

pub(super) async fn run(command: StreamCommand, config: Config) -> Result<(), Fault> {
    match command {
        StreamCommand::Dead(command) => dead::run(command, config).await,
        StreamCommand::List(args) => look::list(args, config).await,
        StreamCommand::Show(args) => look::show(args, config).await,
        StreamCommand::Retry(args) => retry::run(args, config).await,
        StreamCommand::DropGroup(args) => drop_group::run(args, config).await,
    }
}
