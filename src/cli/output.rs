//! Data to stdout: tables for people, JSON lines for programs.

use std::fmt::Display;

use serde::Serialize;

use outflow_core::fault::Fault;
use outflow_service::terminal;

pub(super) use outflow_service::terminal::{plain, row, table};

/// As [`terminal::line`].
pub(super) fn line(text: impl Display) -> Result<(), Fault> {
    terminal::line(text).map_err(failed)
}

/// As [`terminal::line_is_read`].
pub(super) fn line_is_read(text: impl Display) -> Result<bool, Fault> {
    terminal::line_is_read(text).map_err(failed)
}

/// Writes one JSON document on a line of its own.
pub(super) fn json(value: &impl Serialize) -> Result<(), Fault> {
    json_is_read(value).map(drop)
}

/// The same, and says whether there is still a reader.
pub(super) fn json_is_read(value: &impl Serialize) -> Result<bool, Fault> {
    terminal::json_is_read(value).map_err(failed)
}

/// As [`terminal::confirm`].
pub(super) fn confirm(question: &str, yes: bool) -> Result<bool, Fault> {
    terminal::confirm(question, yes).map_err(failed)
}

fn failed(error: std::io::Error) -> Fault {
    Fault::failed(error.to_string()).because(error)
}
