//! What was found, for people. Ids, keys, names and errors come from others: each line is escaped.

use jiff::Timestamp;

use crate::operate::find::{
    Behind, ConsumerLetter, Did, EventState, Found, FoundEntry, FoundEvent, FoundLetter, FoundRow,
    GroupOf, StreamLook, TableLook,
};
use outflow_core::escape::printable;

/// Columns of a line.
const LINE: usize = 1_000;
/// Streams that are named one by one if all of each was looked at.
const WHOLE_MAX: usize = 10;

pub(super) fn text(found: &Found) -> String {
    let mut blocks: Vec<String> = found.events.iter().map(event).collect();
    blocks.push(looked(found));
    blocks.join("\n\n")
}

/// Lines with a name each.
struct Lines(Vec<String>);

impl Lines {
    fn add(&mut self, name: &str, text: &str) {
        self.0.push(format!("  {name:<11} {}", printable(text, LINE)));
    }
}

fn event(event: &FoundEvent) -> String {
    let id = event.event_id.as_ref().map_or("event without an id", String::as_str);
    let mut lines = Lines(vec![printable(id, LINE)]);
    let state = match event.state {
        EventState::Waiting => "waiting: in the table, not sent",
        EventState::Sent if event.entries.is_empty() => {
            "sent, but its entry was not found: trimmed, deleted, or further back"
        }
        EventState::Sent => "sent",
        EventState::Dead => "dead: a dead letter of the relay",
        EventState::Retired => "was a dead letter, which somebody has retried or discarded",
    };
    lines.add("state", state);
    lines.add("outbox", &event.outboxes.join(" or "));
    let optional = [
        ("type", &event.kind),
        ("key", &event.key),
        ("time", &event.time),
        ("trace", &event.trace_id),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            lines.add(name, value);
        }
    }
    for one in &event.rows {
        row(one, !event.entries.is_empty(), &mut lines);
    }
    for one in &event.dead_letters {
        lines.add("dead letter", &letter(one));
    }
    for one in &event.entries {
        entry(one, &mut lines);
    }
    for one in &event.consumer_dead_letters {
        lines.add("given up", &consumer_letter(one));
    }
    lines.0.join("\n")
}

fn row(row: &FoundRow, is_sent: bool, lines: &mut Lines) {
    let FoundRow { table, row: id, stream, slot, waits, .. } = row;
    let stream = stream
        .as_ref()
        .map_or_else(|| "for no stream".to_owned(), |stream| format!("for stream {stream}"));
    let what = match (waits, is_sent) {
        (true, false) => "waits",
        (true, true) => "is still to be settled, or to be sent again",
        (false, _) => "is kept",
    };
    lines.add("row", &format!("{id} of {table}, {stream}, slot {slot}: {what}"));
    if let Some(behind) = row.behind.as_ref().filter(|_| !is_sent) {
        lines.add("behind", &ahead(behind));
        for cause in &behind.causes {
            lines.add("cause", cause);
        }
        if behind.causes.is_empty() {
            lines.add("cause", "none is known: a relay is at work");
        }
    }
}

fn ahead(behind: &Behind) -> String {
    let Behind { rows: Some(rows), of_key: Some(of_key), of_stream, is_capped, .. } = behind else {
        return "an unknown number of rows".to_owned();
    };
    let least = if *is_capped { "at least " } else { "" };
    let of_stream = of_stream.unwrap_or_default();
    format!("{least}{rows} rows, {of_key} of them of its key and {of_stream} of its stream")
}

fn letter(letter: &FoundLetter) -> String {
    let FoundLetter { id, reason, detail, died_at, retired_at, stream, .. } = letter;
    let stream = stream.as_ref().map(|stream| format!(", for {stream}")).unwrap_or_default();
    let retired = retired_at.map(|at| format!(", retried or discarded {at:.0}"));
    let detail = detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    let retired = retired.unwrap_or_default();
    format!("#{id} since {died_at:.0}{stream}{retired}: {reason}{detail}")
}

fn entry(entry: &FoundEntry, lines: &mut Lines) {
    let FoundEntry { stream, id, appended_at, groups, problems } = entry;
    let at = appended_at.map(|at| format!(", appended {at:.3}")).unwrap_or_default();
    lines.add("entry", &format!("{id} of {stream}{at}"));
    for of in groups {
        lines.add("group", &group(of));
    }
    if groups.is_empty() && problems.is_empty() {
        lines.add("group", "none reads this stream");
    }
    for problem in problems {
        lines.add("unknown", problem);
    }
}

fn group(GroupOf { group, did }: &GroupOf) -> String {
    let did = match did {
        Did::NotDelivered => "not delivered yet".to_owned(),
        Did::Pending { consumer, idle_ms, deliveries } => {
            format!("pending at consumer {consumer} for {idle_ms} ms, delivered {deliveries} times")
        }
        Did::Dead { attempts, error } => {
            let attempts = attempts.map(|attempts| format!(" after {attempts} attempts"));
            let error = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            format!("given up{}{error}", attempts.unwrap_or_default())
        }
        Did::NotPending => {
            "not pending: acknowledged, or the group began behind it or reads without \
                acknowledging"
                .to_owned()
        }
        Did::Unknown => "unknown".to_owned(),
    };
    format!("{group}: {did}")
}

fn consumer_letter(letter: &ConsumerLetter) -> String {
    let ConsumerLetter { stream, id, from_stream, entry_id, group, attempts, error } = letter;
    let unknown = || "?".to_owned();
    let of = from_stream.clone().zip(entry_id.clone());
    let of = of.map(|(stream, entry)| format!(" of entry {entry} of {stream}"));
    let attempts = attempts.map(|attempts| format!(" after {attempts} attempts"));
    format!(
        "by group {}{}{}: dead letter {id} of {stream}: {}",
        group.clone().unwrap_or_else(unknown),
        of.unwrap_or_default(),
        attempts.unwrap_or_default(),
        error.clone().unwrap_or_else(unknown)
    )
}

/// What the answer rests on.
fn looked(found: &Found) -> String {
    let mut lines = Lines(vec!["looked at".to_owned()]);
    if found.has_more {
        lines.add("more", "there are more events than are shown; --limit shows more");
    }
    for (name, problem) in [("Postgres", &found.postgres_problem), ("Redis", &found.redis_problem)]
    {
        if let Some(problem) = problem {
            lines.add("unknown", &format!("{name} cannot be asked: {problem}"));
        }
    }
    for look in &found.tables {
        table(look, &mut lines);
    }
    let (whole, parts): (Vec<_>, Vec<_>) = found.streams.iter().partition(|look| look.is_complete);
    for look in parts {
        lines.add("stream", &stream(look));
    }
    for look in whole.iter().take(WHOLE_MAX) {
        lines.add("stream", &stream(look));
    }
    if let Some(more) = whole.len().checked_sub(WHOLE_MAX).filter(|more| *more > 0) {
        lines.add("stream", &format!("… and all of {more} more streams"));
    }
    lines.0.join("\n")
}

fn table(look: &TableLook, lines: &mut Lines) {
    let TableLook { table, by_index, is_complete, since, notes, problems, .. } = look;
    let how = match (by_index, is_complete, since) {
        (None, true, _) => "no rows, because they have no such column".to_owned(),
        (None, false, _) => "not looked at".to_owned(),
        (Some(true), ..) => "by an index".to_owned(),
        (Some(false), true, _) => "all rows".to_owned(),
        (Some(false), false, Some(since)) => format!("the rows since {since:.0}"),
        (Some(false), false, None) => "the newest rows; --since looks further back".to_owned(),
    };
    lines.add("table", &format!("{table}: {how}"));
    for note in notes {
        lines.add("note", note);
    }
    for problem in problems {
        lines.add("unknown", problem);
    }
}

fn stream(look: &StreamLook) -> String {
    let StreamLook { stream, looked_at, entries, back_to, is_complete, problem } = look;
    if let Some(problem) = problem {
        return format!("{stream}: not looked at: {problem}");
    }
    let back = back_to.map(|back: Timestamp| format!(", back to {back:.0}")).unwrap_or_default();
    if *is_complete {
        return format!("{stream}: all {looked_at} entries{back}");
    }
    let of = entries.map(|entries| format!(" of {entries}")).unwrap_or_default();
    format!("{stream}: the newest {looked_at}{of} entries{back}; --since looks further back")
}
