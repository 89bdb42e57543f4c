//! Dead letters for people: a table, or one with all that was kept.

use crate::cli::output;
use crate::operate::dead_letters::Letter;
use outflow_core::escape::{WHOLE, printable};
use outflow_core::fault::Fault;
use outflow_service::terminal;

pub(super) fn listed(letters: &[Letter]) -> Result<(), Fault> {
    if letters.is_empty() {
        terminal::say("outflow: no dead letters");
        return Ok(());
    }
    let mut table = output::table([
        "ID", "DIED", "OUTBOX", "REASON", "STREAM", "TYPE", "KEY", "EVENT ID", "BYTES",
    ]);
    for letter in letters {
        let died = letter.died_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let cells = [
            letter.id.to_string(),
            died,
            letter.outbox.clone(),
            letter.reason.clone(),
            letter.stream.clone().unwrap_or_else(|| "-".to_owned()),
            letter.kind.clone(),
            letter.key.clone().unwrap_or_else(|| "-".to_owned()),
            letter.event_id.clone(),
            letter.payload_bytes.to_string(),
        ];
        output::row(&mut table, cells);
    }
    output::line(output::plain(&table))
}

pub(super) fn shown(letter: &Letter) -> Result<(), Fault> {
    let none = || "-".to_owned();
    let route = letter.route.as_ref().map_or_else(none, ToString::to_string);
    let payload = match (&letter.payload, &letter.payload_hex) {
        (Some(text), _) => text.clone(),
        (None, Some(digits)) => format!("\\x{digits}"),
        (None, None) => none(),
    };
    let rows = [
        ("id", letter.id.to_string()),
        ("outbox", letter.outbox.clone()),
        ("reason", letter.reason.clone()),
        ("detail", letter.detail.clone().unwrap_or_else(none)),
        ("died at", letter.died_at.to_string()),
        ("stream", letter.stream.clone().unwrap_or_else(none)),
        ("route", route),
        ("row", letter.row.clone()),
        ("event id", letter.event_id.clone()),
        ("type", letter.kind.clone()),
        ("key", letter.key.clone().unwrap_or_else(none)),
        ("time", letter.time.clone().unwrap_or_else(none)),
        ("headers", letter.headers.clone().unwrap_or_else(none)),
        ("bytes", letter.bytes.as_ref().map_or_else(none, ToString::to_string)),
        ("missing", if letter.missing.is_empty() { none() } else { letter.missing.join(", ") }),
        ("payload", format!("({} bytes)", letter.payload_bytes)),
    ];
    for (name, value) in rows {
        output::line(format_args!("{name:<9} {}", printable(&value, WHOLE)))?;
    }
    output::line(format_args!("{}\n", printable(&payload, WHOLE)))
}
