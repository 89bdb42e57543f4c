//! What the commands of all programs share at a terminal: lines, tables, questions, points in time.

use std::fmt::Display;
use std::io::{Error, ErrorKind, IsTerminal, Result, Write};

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use outflow_core::escape::{self, CELL, printable};

/// Writes a text and a line end to stdout. A reader that has seen enough (`| head`) is no error.
pub fn line(text: impl Display) -> Result<()> {
    line_is_read(text).map(drop)
}

/// Like [`line()`], and returns whether anybody still reads. If not, there is no point in
/// continuing.
pub fn line_is_read(text: impl Display) -> Result<bool> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::new(error.kind(), format!("stdout: {error}"))),
    }
}

/// Writes a message and a line end to stderr. Unlike `eprintln!`, does not panic if nobody reads
/// it.
pub fn say(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{}", escape::lines(&text.to_string()));
}

/// Writes one JSON document on a line of its own, with nothing in it that acts on a terminal.
pub fn json(value: &impl serde::Serialize) -> Result<()> {
    json_is_read(value).map(drop)
}

/// Like [`json`], and returns whether anybody still reads.
pub fn json_is_read(value: &impl serde::Serialize) -> Result<bool> {
    let text =
        serde_json::to_string(value).map_err(|error| Error::other(format!("as JSON: {error}")))?;
    line_is_read(escape::json(&text))
}

/// Adds a row. Each cell is printed on one line, escaped and truncated.
pub fn row<T: AsRef<str>>(table: &mut Table, cells: impl IntoIterator<Item = T>) {
    table.add_row(cells.into_iter().map(|cell| printable(cell.as_ref(), CELL)));
}

/// A table without lines, as wide as it must be.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

/// The table, without the blanks on its left and right.
pub fn plain(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Asks for confirmation. Without a terminal, only `yes` (`--yes`) confirms.
pub fn confirm(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::other(format!(
            "{question} Nothing was done: add --yes (stdin is no terminal)"
        )));
    }
    write!(std::io::stderr().lock(), "{question} [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Parses a duration before now, or a time.
pub fn since(text: &str) -> std::result::Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let expected = || {
        format!(
            "found {text:?}, expected a duration such as 90m or a time such as 2026-01-31T12:00:00Z"
        )
    };
    let ago = humantime::parse_duration(text).map_err(|_| expected())?;
    Timestamp::now().checked_sub(ago).map_err(|_| expected())
}
