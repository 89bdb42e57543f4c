//! What both companions do with their options before any work starts.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use deadpool_postgres::Pool;
use secrecy::SecretString;

use outflow_connect::{postgres, secret_file};
use outflow_consumer::{BadSetting, OpenError, Source};
use outflow_service::telemetry::{self, Log, LogFormat};
use outflow_service::terminal;

/// A companion's exit code for options that cannot be used (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// What every session of a companion relies on. A query that takes longer than this has lost its
/// caller; one that waits for a lock is to say so, and not that it took too long.
const SESSION: &str = "set statement_timeout = '10s'; set lock_timeout = '5s'; set \
    idle_in_transaction_session_timeout = '30s'; \
    set synchronous_commit = on";

/// Why a companion ends before it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOption(pub String);

/// The value of a secret option called `name`: given as it is, or in a file that others cannot
/// read.
///
/// # Errors
/// [`BadOption`] when there is neither, or the file cannot be read. Never holds the secret.
pub fn secret(
    name: &str,
    value: Option<SecretString>,
    file: Option<PathBuf>,
) -> Result<SecretString, BadOption> {
    match (value, file) {
        (Some(value), _) => Ok(value),
        (None, Some(file)) => secret_file::read(&file)
            .map_err(|message| BadOption(format!("--{name}-file {message}"))),
        (None, None) => Err(BadOption(format!("give --{name} or --{name}-file"))),
    }
}

/// A pool for that address; nothing is connected yet.
///
/// # Errors
/// [`BadOption`] when the address cannot be used. Never holds the address.
pub fn pool(url: &SecretString, application_name: &str, size: usize) -> Result<Pool, BadOption> {
    let server = postgres::server(url, application_name)
        .map_err(|error| BadOption(format!("--postgres-url: {error}")))?;
    Ok(postgres::pool_of_own_sessions(server, size, SESSION))
}

/// Where an order consumer's stream is, as its options name it.
#[derive(Debug, clap::Args)]
pub struct RedisOptions {
    /// Redis URL: `redis://[user:password@]host[:port][/database]`, or `redis-cluster://host:port`
    /// for a cluster
    #[arg(
        long,
        env = "ORDER_CONSUMER_REDIS_URL",
        hide_env_values = true,
        required_unless_present = "redis_url_file"
    )]
    redis_url: Option<SecretString>,
    /// File that contains the Redis URL; it must not be world-readable
    #[arg(long, env = "ORDER_CONSUMER_REDIS_URL_FILE", conflicts_with = "redis_url")]
    redis_url_file: Option<PathBuf>,
    /// Streams to read, separated by commas
    ///
    /// Default: the streams of the step.
    #[arg(
        long,
        env = "ORDER_CONSUMER_STREAM",
        value_parser = NonEmptyStringValueParser::new(),
        value_delimiter = ','
    )]
    stream: Vec<String>,
    /// Dead-letter stream, for entries that could not be handled
    ///
    /// Default: `<stream>.dead`; on a cluster `{<stream>}.dead`.
    #[arg(
        long,
        env = "ORDER_CONSUMER_DEAD_LETTER_STREAM",
        value_parser = NonEmptyStringValueParser::new()
    )]
    dead_letter_stream: Option<String>,
}

impl RedisOptions {
    /// The address of Redis.
    ///
    /// # Errors
    /// As [`secret`].
    pub fn url(&self) -> Result<SecretString, BadOption> {
        secret("redis-url", self.redis_url.clone(), self.redis_url_file.clone())
    }

    /// The streams with their dead letters; `otherwise` if none is named.
    pub fn sources(&self, otherwise: &[&str]) -> Vec<Source> {
        let named: Vec<&str> = self.stream.iter().map(String::as_str).collect();
        let streams = if named.is_empty() { otherwise } else { &named };
        let source = |stream: &&str| match &self.dead_letter_stream {
            Some(dead) => Source::new(*stream).dead_letters_to(dead),
            None => Source::new(*stream),
        };
        streams.iter().map(source).collect()
    }
}

/// A setting of the library, as the option of that name.
impl From<BadSetting> for BadOption {
    fn from(BadSetting { name, value, expected, .. }: BadSetting) -> Self {
        Self(format!("--{} is {value}; expected {expected}", name.replace('_', "-")))
    }
}

impl From<OpenError> for BadOption {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Setting(bad) => bad.into(),
            other => Self(format!("--redis-url: {other}")),
        }
    }
}

/// Starts the log of a companion.
///
/// # Errors
/// [`BadOption`] when the level is none.
pub fn log(level: &str, format: LogFormat) -> Result<Log, BadOption> {
    telemetry::start(level, format).map_err(|error| BadOption(format!("--log-level: {error}")))
}

/// Says on stderr why the program ends, and with which code: 78 for options, 1 for the rest.
pub fn exit(program: &str, log: Option<&Log>, outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let last_words = format!("{program}: {error}");
    match log {
        Some(log) => log.say(last_words),
        None => terminal::say(last_words),
    }
    if error.is::<BadOption>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}
