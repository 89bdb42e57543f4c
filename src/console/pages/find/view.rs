//! What a search has found, and how far it looked.

use maud::{Markup, html};

use crate::console::access::Viewer;
use crate::console::addresses::{self, LETTER};
use crate::console::contents::words;
use crate::console::link::link;
use crate::console::parts::{empty, number, seconds, shown, table, time, unreachable};
use crate::operate::find::{
    Behind, ConsumerLetter, Did, EventState, Found, FoundEntry, FoundEvent, FoundLetter, FoundRow,
    StreamLook, TableLook,
};

pub(super) fn found(viewer: &Viewer, found: &Found) -> Markup {
    let servers = [("Postgres", &found.postgres_problem), ("Redis", &found.redis_problem)];
    html! {
        @for (server, problem) in servers {
            @if let Some(problem) = problem { (unreachable(server, problem)) }
        }
        @if found.events.is_empty() {
            (nothing(found))
        }
        @for one in &found.events { (event(viewer, one)) }
        @if found.has_more {
            p.notice { "There are more events than are shown: the newest ones." }
        }
        h2 { "What was looked at" }
        (tables(&found.tables))
        (streams(&found.streams))
    }
}

fn nothing(found: &Found) -> Markup {
    if found.is_complete {
        return empty(
            "Nothing was found, and everything was looked at.",
            "An event whose transaction is open cannot be seen, and an entry that was trimmed or \
             deleted leaves no trace.",
        );
    }
    empty(
        "Nothing was found in what was looked at.",
        "It was not everything: see below. A time to look back to reaches further.",
    )
}

fn event(viewer: &Viewer, event: &FoundEvent) -> Markup {
    let state = match event.state {
        EventState::Waiting => "waiting",
        EventState::Sent => "sent",
        EventState::Dead => "dead",
        EventState::Retired => "was dead",
    };
    let facts = [
        ("Type", &event.kind),
        ("Key", &event.key),
        ("Time", &event.time),
        ("Trace", &event.trace_id),
    ];
    let id = event.event_id.as_deref().unwrap_or("without an id");
    html! {
        article.entry {
            h2 { (shown(id)) " " span.role { (state) } }
            dl.facts {
                dt { "Outbox" } dd { (shown(&event.outboxes.join(", "))) }
                @for (name, value) in facts {
                    @if let Some(value) = value { dt { (name) } dd { (shown(value)) } }
                }
            }
            @for one in &event.rows { (row(one)) }
            @for one in &event.dead_letters { (letter(viewer, one)) }
            @for one in &event.entries { (entry(viewer, one)) }
            @for one in &event.consumer_dead_letters { (consumer_letter(viewer, one)) }
        }
    }
}

fn row(row: &FoundRow) -> Markup {
    html! {
        p {
            "Row " (shown(&row.row)) " of " (shown(&row.table))
            @if row.waits { " waits to be sent" } @else { ", which was sent" }
            @match &row.stream {
                Some(stream) => {
                    " to " a href=(addresses::stream(stream)) { (shown(stream)) } "."
                }
                None => { "; it names no stream." }
            }
        }
        @if let Some(one) = &row.behind { (behind(one)) }
    }
}

fn behind(behind: &Behind) -> Markup {
    let least = if behind.is_capped { "at least " } else { "" };
    let count = |count: Option<i64>| count.map_or_else(|| "?".to_owned(), number);
    html! {
        p {
            "Before it are " (least) (count(behind.rows)) " rows, " (count(behind.of_key))
            " of its key, " (count(behind.of_stream)) " of its stream."
        }
        @if !behind.causes.is_empty() {
            ul { @for cause in &behind.causes { li { (shown(cause)) } } }
        }
    }
}

fn letter(viewer: &Viewer, letter: &FoundLetter) -> Markup {
    let id = letter.id.to_string();
    html! {
        p {
            "Dead letter " a href=(link(LETTER, &[("id", &id)])) { (id) } ": "
            (shown(&letter.reason))
            @if let Some(detail) = &letter.detail { ", " (shown(words(viewer, detail))) }
            ", died " (time(letter.died_at))
            @if let Some(at) = letter.retired_at { ", retried or discarded " (time(at)) }
        }
    }
}

fn entry(viewer: &Viewer, entry: &FoundEntry) -> Markup {
    let rows: Vec<Vec<Markup>> = entry
        .groups
        .iter()
        .map(|one| {
            let group = addresses::group(&entry.stream, &one.group);
            vec![
                html! { a href=(group) { (shown(&one.group)) } },
                html! { (did(viewer, &one.did)) },
            ]
        })
        .collect();
    html! {
        p {
            "Entry " a href=(addresses::entry(&entry.stream, &entry.id)) { (shown(&entry.id)) }
            " of " a href=(addresses::stream(&entry.stream)) { (shown(&entry.stream)) }
            @if let Some(at) = entry.appended_at { ", appended " (time(at)) }
            "."
        }
        @if rows.is_empty() { p.hint { "No consumer group reads this stream." } } @else {
            (table("What the consumer groups have done with it", &["Group", "State"], &rows))
        }
        @for one in &entry.problems { p.hint { "unknown: " (shown(one)) } }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn did(viewer: &Viewer, did: &Did) -> String {
    match did {
        Did::NotDelivered => "not delivered yet".to_owned(),
        Did::Pending { consumer, idle_ms, deliveries } => {
            let since = seconds(*idle_ms as f64 / 1_000.0);
            let consumer = shown(consumer);
            format!("pending at {consumer} for {since}, delivered {deliveries} times")
        }
        Did::Dead { attempts, error } => {
            let attempts = attempts.map_or_else(|| "some".to_owned(), number);
            let error = error.as_deref().map(|error| words(viewer, error));
            let error = shown(error.unwrap_or("an unknown error"));
            format!("given up after {attempts} attempts: {error}")
        }
        Did::NotPending => "acknowledged, or never this group's to handle".to_owned(),
        Did::Unknown => "unknown to Redis".to_owned(),
    }
}

fn consumer_letter(viewer: &Viewer, letter: &ConsumerLetter) -> Markup {
    let error = letter.error.as_deref().map(|error| words(viewer, error));
    let error = error.unwrap_or("an unknown error");
    html! {
        p {
            "Dead letter " a href=(addresses::entry(&letter.stream, &letter.id)) {
                (shown(&letter.id))
            }
            " in " (shown(&letter.stream))
            @if let Some(group) = &letter.group { ", of group " (shown(group)) }
            ": " (shown(error))
            @if let Some(stream) = &letter.from_stream {
                " · " a href=(addresses::dead_of(stream)) { "Dead letters of this stream" }
            }
        }
    }
}

fn tables(looks: &[TableLook]) -> Markup {
    html! {
        ul {
            @for look in looks {
                li {
                    "Outbox " (shown(&look.outbox)) ", table " (shown(&look.table)) ": "
                    (if look.is_complete { "all rows" } else { "not all rows" })
                    @if let Some(since) = look.since { ", those since " (time(since)) }
                    @for note in look.notes.iter().chain(&look.problems) {
                        div.hint { (shown(note)) }
                    }
                }
            }
        }
    }
}

fn streams(looks: &[StreamLook]) -> Markup {
    let count = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
    html! {
        ul {
            @for look in looks {
                li {
                    "Stream " a href=(addresses::stream(&look.stream)) { (shown(&look.stream)) }
                    ": " (count(look.looked_at))
                    @if let Some(entries) = look.entries { " of " (number(entries)) }
                    " entries"
                    @if let Some(back) = look.back_to { ", back to " (time(back)) }
                    @if let Some(problem) = &look.problem { div.hint { (shown(problem)) } }
                }
            }
        }
    }
}
