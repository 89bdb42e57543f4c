//! Data to stdout: tables for people, JSON lines for programs.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::daemon::DaemonError;

/// Writes a text and a line end. A reader that has seen enough (`| head`) is no error.
pub(super) fn line(text: impl Display) -> Result<(), DaemonError> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(DaemonError::Failed(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

/// Writes one JSON document on a line of its own.
pub(super) fn json(value: &impl Serialize) -> Result<(), DaemonError> {
    line(serde_json::to_string(value).map_err(|error| DaemonError::Failed(format!("as JSON: {error}")))?)
}

/// A table without lines, as wide as it must be.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// The table, without the blanks on its left and right.
pub(super) fn plain(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Asks before something that cannot be taken back. Without a terminal, only `--yes` is an answer.
pub(super) fn confirm(question: &str, yes: bool) -> Result<bool, DaemonError> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(DaemonError::Failed(format!("{question} Nothing was done: add --yes (stdin is no terminal)")));
    }
    let failed = |error: std::io::Error| DaemonError::Failed(format!("no answer: {error}"));
    write!(std::io::stderr().lock(), "{question} [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
