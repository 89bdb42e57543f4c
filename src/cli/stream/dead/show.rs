//! A stream's dead letters for people: a table, or one with all its fields.

use crate::cli::output;
use outflow_consumer::DeadLetter;
use outflow_core::escape::{CELL, WHOLE, printable};
use outflow_core::fault::Fault;

pub(super) fn listed(letters: &[DeadLetter]) -> Result<(), Fault> {
    if letters.is_empty() {
        return Ok(());
    }
    let mut table = output::table(["ID", "DIED", "GROUP", "ATTEMPTS", "TYPE", "KEY", "ERROR"]);
    for letter in letters {
        let field = |name: &str| {
            letter.fields.get(name).and_then(|value| value.as_str()).unwrap_or("-").to_owned()
        };
        let died = letter.died_at.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let cells = [
            letter.id.clone(),
            died.unwrap_or_else(|| "-".to_owned()),
            letter.group.clone(),
            letter.attempts.to_string(),
            field("type"),
            field("key"),
            letter.error.clone(),
        ];
        output::row(&mut table, cells);
    }
    output::line(output::plain(&table))
}

pub(super) fn shown(letter: &DeadLetter) -> Result<(), Fault> {
    let died = letter.died_at.map(|time| time.to_string()).unwrap_or_default();
    let attempts = letter.attempts.to_string();
    let about = [
        ("id", &letter.id),
        ("died at", &died),
        ("stream", &letter.stream),
        ("entry id", &letter.entry_id),
        ("group", &letter.group),
        ("attempts", &attempts),
        ("error", &letter.error),
    ];
    for (name, value) in about {
        output::line(format!("{name:<9} {}", printable(value, WHOLE)))?;
    }
    for (name, value) in &letter.fields {
        let name = printable(name, CELL);
        let value = printable(value.as_str().unwrap_or_default(), WHOLE);
        output::line(format!("  {name:<9} {value}"))?;
    }
    output::line("")
}
