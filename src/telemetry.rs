//! Logs: to stderr, text on a terminal and JSON otherwise.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `level` is a level (`info`) or a filter (`info,outflow=debug`).
///
/// # Errors
/// When `level` is neither; the message says what is expected.
pub fn start(level: &str, format: LogFormat) -> Result<Log, String> {
    let filter = filter(level)?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false);
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // A second start (two tests in one process) keeps the first.
    Ok(if json {
        let lines = lines.json().flatten_event(true).with_env_filter(filter).with_filter_reloading();
        let handle = lines.reload_handle();
        let _ = lines.try_init();
        Log::new(move |filter| handle.reload(filter))
    } else {
        let lines = lines.with_ansi(terminal).with_env_filter(filter).with_filter_reloading();
        let handle = lines.reload_handle();
        let _ = lines.try_init();
        Log::new(move |filter| handle.reload(filter))
    })
}

/// The running log.
pub struct Log {
    reload: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

impl Log {
    fn new(
        reload: impl Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync + 'static,
    ) -> Self {
        Self { reload: Box::new(move |filter| reload(filter).map_err(|error| error.to_string())) }
    }

    /// Logs at another level, or by another filter, from here on.
    ///
    /// # Errors
    /// When it is neither; the message says what is expected.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        (self.reload)(filter(level)?)
    }
}

/// Whether a text is a level or a filter.
///
/// # Errors
/// What was found and what is expected.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

/// Below the level that was asked for: fred repeats every reconnect, tokio-postgres prints parameters, which are
/// customers' data. A filter that names them has its way.
const QUIET: &str = "fred=error,tokio_postgres=info";

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|_| format!("found {level:?}, expected error, warn, info, debug, trace, or a filter of them"))
}
