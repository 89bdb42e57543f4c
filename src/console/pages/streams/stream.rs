//! One stream: its figures, its groups, and its entries, which can be searched.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};

use super::asked::Asked;
use super::entries::{self, Shown};
use super::list::bytes;
use crate::console::access::Viewer;
use crate::console::addresses::{self, STREAM};
use crate::console::asking::{streams, told};
use crate::console::layout::{self, Section};
use crate::console::parts::{empty, number, seconds, shown, table};
use crate::console::state::Console;
use crate::operate::streams::{GroupReport, Page, StreamReport, Streams};

/// Entries on one page.
const PAGE: usize = 25;
/// Groups that are shown.
const GROUPS: usize = 200;

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let body = match streams(&console).await {
        Ok(streams) => whole(&viewer, &streams, &asked).await,
        Err(fault) => told("Redis", &fault),
    };
    let body = html! { h1 { "Stream " (shown(&asked.name)) } (body) };
    layout::page(&viewer, "Stream", Section::Streams, &body)
}

async fn whole(viewer: &Viewer, streams: &Streams, asked: &Asked) -> Markup {
    let report = match streams.look(&asked.name).await {
        Ok(Some(report)) => report,
        Ok(None) => {
            return empty(
                "Redis has no such stream.",
                "It is made with its first entry. Names that are no UTF-8 cannot be opened here.",
            );
        }
        Err(fault) => return told("Redis", &fault),
    };
    let found = match asked.wanted() {
        Ok((wanted, look)) => {
            streams.entries(&asked.name, &wanted, look, PAGE, viewer.sees_payloads).await
        }
        Err(fault) => Err(fault),
    };
    html! {
        (figures(&report))
        h2 { "Groups" }
        (groups(&report))
        h2 { "Entries" }
        (search(asked))
        @match found {
            Ok(page) => (listed(asked, &page)),
            Err(fault) => (told("Redis", &fault)),
        }
    }
}

fn figures(report: &StreamReport) -> Markup {
    let age = |age: Option<f64>| {
        age.map_or_else(|| "-".to_owned(), |age| format!("{} ago", seconds(age)))
    };
    html! {
        dl.facts {
            dt { "Entries" } dd { (number(report.entries)) }
            dt { "Memory" } dd { (bytes(report.memory_bytes)) }
            dt { "First entry" } dd { (age(report.first_entry_age_seconds)) }
            dt { "Last entry" } dd { (age(report.last_entry_age_seconds)) }
        }
        @for one in &report.problems { p.hint { "unknown: " (shown(one)) } }
        p { a href=(addresses::dead_of(&report.stream)) { "Dead letters of its consumers" } }
    }
}

fn groups(report: &StreamReport) -> Markup {
    if report.groups.is_empty() {
        return empty("Nobody reads this stream.", "A consumer makes its group when it starts.");
    }
    let rows: Vec<Vec<Markup>> =
        report.groups.iter().take(GROUPS).map(|group| row(&report.stream, group)).collect();
    let columns =
        ["Group", "Lag", "Pending", "Oldest pending", "Consumers", "Last seen", "Last delivered"];
    html! {
        (table("Consumer groups", &columns, &rows))
        @if report.groups.len() > GROUPS {
            p.hint { "The first " (GROUPS) " of " (report.groups.len()) " groups are shown." }
        }
    }
}

fn row(stream: &str, group: &GroupReport) -> Vec<Markup> {
    let age = |age: Option<f64>| age.map_or_else(|| "-".to_owned(), seconds);
    let idle = group.consumers.iter().map(|consumer| consumer.idle_seconds).reduce(f64::min);
    vec![
        html! { a href=(addresses::group(stream, &group.group)) { (shown(&group.group)) } },
        html! { (group.lag.map_or_else(|| "?".to_owned(), number)) },
        html! { (number(group.pending)) },
        html! { (age(group.oldest_pending_age_seconds)) },
        html! { (group.consumers.len()) },
        html! { (age(idle)) },
        html! { (shown(&group.last_delivered_id)) },
    ]
}

fn search(asked: &Asked) -> Markup {
    let fields = [
        ("key", "Key", &asked.key),
        ("type", "Type", &asked.kind),
        ("event", "Event id", &asked.event),
        ("since", "Since", &asked.since),
        ("until", "Until", &asked.until),
    ];
    html! {
        form.filter method="get" action=(STREAM) role="search" {
            input type="hidden" name="name" value=(asked.name);
            @for (name, label, value) in fields {
                label { (label) " " input type="text" name=(name) value=(value); }
            }
            button type="submit" { "Search" }
            @if asked.is_search() { " " a href=(addresses::stream(&asked.name)) { "Show all" } }
        }
        p.hint { "Times: a duration ago such as 90m, or 2026-01-31T12:00:00Z." }
    }
}

fn listed(asked: &Asked, page: &Page) -> Markup {
    let shown = Shown { stream: &asked.name, entries: &page.entries };
    html! {
        @if page.entries.is_empty() && !asked.is_search() && asked.before.is_empty() {
            (empty("No entries.", "They were trimmed or deleted, or there were none yet."))
        }
        (entries::list(&shown))
        (entries::how_far(asked, page))
    }
}
