//! What both companions do with their options before any work starts.

use std::path::PathBuf;
use std::process::ExitCode;

use deadpool_postgres::Pool;
use secrecy::SecretString;

use crate::{postgres, secret_file};

/// A companion's exit code for options that cannot be used (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// What every session of a companion relies on. A query that takes longer than this has lost its caller.
const SESSION: &str = "set statement_timeout = '10s'; set lock_timeout = '10s'; \
    set idle_in_transaction_session_timeout = '30s'; set synchronous_commit = on; \
    set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off";

/// Why a companion ends before it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOption(pub String);

/// The value of a secret option called `name`: given as it is, or in a file that others cannot read.
///
/// # Errors
/// [`BadOption`] when there is neither, or the file cannot be read. Never holds the secret.
pub fn secret(name: &str, value: Option<SecretString>, file: Option<PathBuf>) -> Result<SecretString, BadOption> {
    match (value, file) {
        (Some(value), _) => Ok(value),
        (None, Some(file)) => secret_file::read(&file).map_err(|message| BadOption(format!("--{name}-file {message}"))),
        (None, None) => Err(BadOption(format!("give --{name} or --{name}-file"))),
    }
}

/// A pool for that address; nothing is connected yet.
///
/// # Errors
/// [`BadOption`] when the address cannot be used. Never holds the address.
pub fn pool(url: &SecretString, application_name: &str, size: usize) -> Result<Pool, BadOption> {
    let server =
        postgres::server(url, application_name).map_err(|error| BadOption(format!("--postgres-url: {error}")))?;
    Ok(postgres::pool(server, size, SESSION))
}

/// Says on stderr why the program ends, and with which code: 78 for options, 1 for the rest.
#[expect(clippy::print_stderr, reason = "the last words, also when logging did not start")]
pub fn exit(program: &str, outcome: Result<(), Box<dyn std::error::Error>>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{program}: {error}");
    if error.is::<BadOption>() { ExitCode::from(EXIT_CONFIG) } else { ExitCode::FAILURE }
}
