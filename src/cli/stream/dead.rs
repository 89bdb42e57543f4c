//! `outflow stream dead`: the entries that consumers could not handle. Works for every consumer
//! that is built with the library.

mod act;
mod args;
mod show;

use std::time::Duration;

use secrecy::SecretString;

use act::{Act, act};
use show::{listed, shown};

use crate::cli::output;
use crate::config::Config;
use crate::daemon::DaemonError;
use args::WhichArgs;
use outflow_connect::redis::Failure;
use outflow_connect::secret_file;
use outflow_consumer::{DeadFilter, DeadLetter, DeadLetters};
use outflow_service::terminal;

pub(super) use args::DeadCommand;

/// How long to wait for the connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Entries that `list` shows unless told otherwise.
const LIST_LIMIT: usize = 100;

pub(super) async fn run(command: DeadCommand, config: Config) -> Result<(), DaemonError> {
    match command {
        DeadCommand::List(args) => {
            let mut filter = args.which.filter.filter(args.which.ids.as_slice());
            let limit = filter.limit.unwrap_or(LIST_LIMIT);
            // One more than is shown tells whether there are more.
            filter.limit = Some(filter.limit.unwrap_or(LIST_LIMIT + 1));
            let dead = open(&args.which, &config).await?;
            let mut letters = chosen(&dead, &args.which, &filter).await?;
            if letters.len() > limit {
                letters.truncate(limit);
                terminal::say(format_args!(
                    "outflow: the first {limit} are shown; --limit shows more"
                ));
            }
            if args.json { letters.iter().try_for_each(output::json) } else { listed(&letters) }
        }
        DeadCommand::Show(args) => {
            let dead = open(&args.which, &config).await?;
            let filter = args.which.filter.filter(args.which.ids.as_slice());
            let letters = chosen(&dead, &args.which, &filter).await?;
            let show = |letter| if args.json { output::json(letter) } else { shown(letter) };
            letters.iter().try_for_each(show)
        }
        DeadCommand::Retry(args) => act(&args, &config, Act::Retry).await,
        DeadCommand::Discard(args) => act(&args, &config, Act::Discard).await,
    }
}

/// Connects.
async fn open(which: &WhichArgs, config: &Config) -> Result<DeadLetters, DaemonError> {
    let (url, name) = match &which.redis_url_file {
        Some(file) => (read(file)?, "--redis-url-file"),
        None => (config.redis.clone(), "redis.url"),
    };
    let dead = DeadLetters::open(url, which.source())
        .map_err(|error| DaemonError::Configuration(format!("{name}: {error}")))?;
    dead.ready(CONNECT_PATIENCE).await.map_err(failed)?;
    Ok(dead)
}

fn read(file: &std::path::Path) -> Result<SecretString, DaemonError> {
    secret_file::read(file)
        .map_err(|message| DaemonError::Configuration(format!("--redis-url-file {message}")))
}

/// The dead letters that are meant; each id must be there.
async fn chosen(
    dead: &DeadLetters,
    which: &WhichArgs,
    filter: &DeadFilter,
) -> Result<Vec<DeadLetter>, DaemonError> {
    let letters = dead.list(filter).await.map_err(failed)?;
    let is_there = |id: &str| letters.iter().any(|letter| letter.id == id);
    let missing = which.ids.iter().map(ToString::to_string).filter(|id| !is_there(id));
    let missing: Vec<String> = missing.collect();
    if !missing.is_empty() {
        return Err(DaemonError::Failed(format!(
            "there is no such dead letter in {}: {}; `outflow stream dead list` shows which there \
                are",
            dead.stream(),
            missing.join(", ")
        )));
    }
    if letters.is_empty() {
        let of_filter = if filter.is_empty() { "" } else { " that the filter chooses" };
        terminal::say(format_args!("outflow: no dead letters in {}{of_filter}", dead.stream()));
    }
    Ok(letters)
}

/// What Redis or the connection to it said, as an exit code.
#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn failed(failure: Failure) -> DaemonError {
    if failure.is_login_refused() {
        return DaemonError::Configuration(failure.to_string());
    }
    match failure {
        Failure::Refused(_) => DaemonError::Failed(failure.to_string()),
        Failure::NotSent(_) | Failure::Unknown(_) => {
            DaemonError::Unavailable(format!("cannot reach Redis: {failure}"))
        }
    }
}
