//! Looking for the dead letters of a stream.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::args::WhichArgs;
use crate::config::Config;
use crate::daemon::DaemonError;
use outflow_connect::redis::Failure;
use outflow_connect::secret_file;
use outflow_consumer::{DeadFilter, DeadLetter, DeadLetters};
use outflow_service::terminal;

/// How long to wait for the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Connects.
pub(super) async fn open(which: &WhichArgs, config: &Config) -> Result<DeadLetters, DaemonError> {
    let (url, name) = match &which.redis_url_file {
        Some(file) => (read(file)?, "--redis-url-file"),
        None => (config.redis.clone(), "redis.url"),
    };
    let dead = DeadLetters::open(url, which.source())
        .map_err(|error| DaemonError::Configuration(format!("{name}: {error}")))?;
    dead.ready(CONNECT_LIMIT).await.map_err(failed)?;
    Ok(dead)
}

fn read(file: &Path) -> Result<SecretString, DaemonError> {
    secret_file::read(file)
        .map_err(|message| DaemonError::Configuration(format!("--redis-url-file {message}")))
}

/// The dead letters that are meant; each id must be there.
pub(super) async fn chosen(
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
pub(super) fn failed(failure: Failure) -> DaemonError {
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
