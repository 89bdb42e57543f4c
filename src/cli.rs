//! The command line of `outflow`: what can be asked, and which exit code says how it went.

mod about;
mod check;
mod config;
mod connect;
mod console;
mod dead;
mod exit;
mod find;
mod healthcheck;
mod migrate;
mod output;
mod pause;
mod position;
mod replay;
mod run;
mod status;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Config, Server, Source, load, without_address};
use outflow_core::fault::Fault;
use outflow_service::telemetry::{self, Log};
use outflow_service::terminal;

use exit::code_of;

/// The variable that names the configuration file.
const CONFIG: &str = "OUTFLOW_CONFIG";

/// Moves rows from outbox tables in Postgres to Redis Streams.
#[derive(Debug, Parser)]
#[command(
    name = "outflow",
    version,
    about = "Relay rows from outbox tables in Postgres to Redis Streams, in order per key and at \
        least once",
    after_help = "Exit status: 0 success, 1 failure, 2 usage error, 69 a server cannot be \
        reached, 78 configuration error"
)]
struct Cli {
    /// Configuration file (TOML)
    ///
    /// Environment variables such as `OUTFLOW_POSTGRES__URL` override its values. Default: no file,
    /// only the built-in defaults and the environment.
    #[arg(long, global = true, env = CONFIG, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Relay events until SIGTERM or SIGINT
    ///
    /// On SIGTERM or SIGINT, the relay settles the batches in flight and exits with status 0. On
    /// SIGHUP, it reads the configuration again.
    Run(run::RunArgs),
    /// Create or update the relay's Postgres objects (idempotent)
    Migrate(migrate::MigrateArgs),
    /// Check the configuration, servers, tables and permissions
    ///
    /// Prints one finding per line: ✓ is fine, ! is a warning, ✗ must be fixed before the relay can
    /// deliver. Exit status: 78 if something must be fixed, 69 if a server cannot be reached, 0
    /// otherwise.
    Check(check::CheckArgs),
    /// Show backlog, members, dead letters, streams and consumer groups
    ///
    /// Reads only the databases, so it works while the relay is down.
    Status(status::StatusArgs),
    /// Find an event: waiting, sent or dead, and what the consumer groups have done with it
    ///
    /// Looks in the tables, among the dead letters and in the streams, and changes nothing. A
    /// stream has no index by event, so its newest entries are read; the answer says how many, and
    /// `--since` looks further back. If one of the two databases is down, the answer is what the
    /// other one knows.
    #[command(after_help = find::EXIT_STATUS)]
    Find(find::FindArgs),
    /// List, inspect, retry or discard events that could not be appended
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// Show streams and who reads them, and look after dead letters of consumers
    #[command(subcommand)]
    Stream(stream::StreamCommand),
    /// Pause outboxes or a stream: relays deliver nothing of them until they are resumed
    ///
    /// Every relay heeds it within a second, also after a restart. It finishes the batches that are
    /// in flight. Events wait in their tables.
    Pause(pause::PauseArgs),
    /// Resume outboxes or a stream that were paused
    ///
    /// Exit status: 1 if nothing was paused.
    Resume(pause::ResumeArgs),
    /// Show how far kept outboxes have been read, or set from where they go on
    #[command(subcommand)]
    Position(position::PositionCommand),
    /// Send events of a kept outbox once more, to another stream or to their own
    ///
    /// Events come in order, and each arrives once, however often the command is killed and run
    /// again. Only events that were delivered and are still in the table are sent.
    Replay(replay::ReplayArgs),
    /// Serve the console in the browser, as a process of its own
    ///
    /// It needs only the two databases, so it works while every relay is down, and while one of the
    /// databases is. On SIGHUP, it reads the configuration again.
    Console(console::ConsoleArgs),
    /// Print the effective configuration, without secrets
    Config(config::ConfigArgs),
    /// Check the health of the relay running with this configuration
    ///
    /// Exit status: 0 if healthy, 1 if not. Timeout: 3 s.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print a completion script for a shell
    Completions(about::CompletionsArgs),
    /// Print the version
    Version(about::VersionArgs),
    /// Print the manual page
    #[command(hide = true)]
    Man(about::ManArgs),
}

/// Parses the command line, runs the command, and says how it went.
pub fn main() -> ExitCode {
    let Cli { config, command } = parse();
    let source = Source { file: config };
    let done =
        |outcome: Result<(), Fault>| exit(outcome.map(|()| ExitCode::SUCCESS), terminal::say);
    // What needs no valid configuration, or looks at it itself.
    match &command {
        Command::Completions(args) => return done(about::completions(args, Cli::command())),
        Command::Version(args) => return done(about::version(args)),
        Command::Man(args) => return done(about::man(args, Cli::command())),
        Command::Config(args) => return done(config::run(args, &source)),
        _ => {}
    }
    let config = load(&source).and_then(|config| {
        let missing = without_address(&source, needed_servers(&command))?.into_iter().next();
        missing.map_or(Ok(config), Err)
    });
    let config = match config {
        Ok(config) => config,
        Err(problem) => {
            if let Command::Check(args) = &command {
                return exit(check::unreadable(args, &problem), terminal::say);
            }
            return done(Err(Fault::from(problem).at("configuration")));
        }
    };
    match telemetry::start(&config.log_level, config.log_format) {
        Ok(log) => {
            exit(in_runtime(command, config, source, log.clone()), |last_words| log.say(last_words))
        }
        Err(problem) => {
            done(Err(Fault::configuration(format!("configuration: log.level: {problem}"))))
        }
    }
}

/// The command line. An empty variable counts as unset, as all of ours do.
fn parse() -> Cli {
    let is_empty = std::env::var_os(CONFIG).is_some_and(|file| file.is_empty());
    let matches = Cli::command()
        .mut_arg("config", |arg| if is_empty { arg.env(Resettable::Reset) } else { arg })
        .get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The servers whose addresses must have been given: the built-in ones are for a try on one
/// machine.
fn needed_servers(command: &Command) -> &'static [Server] {
    match command {
        Command::Check(args) if args.offline => &[],
        Command::Migrate(args) if args.print => &[],
        Command::Run(_)
        | Command::Status(_)
        | Command::Check(_)
        | Command::Find(_)
        | Command::Position(_)
        | Command::Console(_)
        | Command::Replay(_) => &[Server::Postgres, Server::Redis],
        Command::Migrate(_) | Command::Dead(_) | Command::Pause(_) | Command::Resume(_) => {
            &[Server::Postgres]
        }
        Command::Stream(command) => command.needed_servers(),
        Command::Healthcheck(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Version(_)
        | Command::Man(_) => &[],
    }
}

/// The exit code, and why it is not 0.
fn exit(outcome: Result<ExitCode, Fault>, say: impl Fn(String)) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        say(format!("outflow: {error}"));
        ExitCode::from(code_of(error.kind()))
    })
}

fn in_runtime(
    command: Command,
    config: Config,
    source: Source,
    log: Log,
) -> Result<ExitCode, Fault> {
    // One thread: an outbox is bound by its servers, which want the other processors. Measured with
    // two threads on two processors, an event costs the relay an eighth more, and each hop between
    // them is time that an event waits.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::failed(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Run(args) => run::run(args, config, source, log).await,
            Command::Migrate(args) => migrate::run(args, config).await,
            Command::Check(args) => return check::run(args, config).await,
            Command::Status(args) => status::run(args, config).await,
            Command::Find(args) => Box::pin(find::run(args, config)).await,
            Command::Dead(command) => dead::run(command, config).await,
            Command::Stream(command) => Box::pin(stream::run(command, config)).await,
            Command::Pause(args) => pause::pause(args, config).await,
            Command::Resume(args) => pause::resume(args, config).await,
            Command::Position(command) => Box::pin(position::run(command, config)).await,
            Command::Replay(args) => Box::pin(replay::run(args, config)).await,
            Command::Console(args) => Box::pin(console::run(args, config, source, log)).await,
            Command::Healthcheck(args) => healthcheck::run(args, config).await,
            // Done before there was a configuration.
            Command::Completions(_)
            | Command::Version(_)
            | Command::Man(_)
            | Command::Config(_) => Ok(()),
        }
        .map(|()| ExitCode::SUCCESS)
    })
}
