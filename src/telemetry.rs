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
pub fn start(level: &str, format: LogFormat) -> Result<(), String> {
    let filter = filter(level)?;
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // A second start (two tests in one process) keeps the first.
    let _ = if json { lines.json().flatten_event(true).try_init() } else { lines.with_ansi(terminal).try_init() };
    Ok(())
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
