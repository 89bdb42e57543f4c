//! All streams: entries, memory, groups with lag and pending entries; sorted, a page at a time.

use std::collections::BTreeSet;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::access::Viewer;
use crate::console::addresses::{self, STREAM, STREAMS};
use crate::console::asking::{streams, told};
use crate::console::layout::{self, Section};
use crate::console::link::link;
use crate::console::parts::{empty, number, shown, table};
use crate::console::state::Console;
use crate::operate::streams::{List, Listed, ListedGroup, Order, Which};
use outflow_core::fault::Fault;

/// Streams on one page.
const PAGE: usize = 50;
/// Groups of one stream that are named.
const GROUPS: usize = 5;
/// What the streams can be sorted by.
const SORTS: [(&str, &str, Order); 5] = [
    ("name", "Name", Order::Name),
    ("entries", "Entries", Order::Entries),
    ("memory", "Memory", Order::Memory),
    ("lag", "Lag", Order::Lag),
    ("pending", "Pending", Order::Pending),
];

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    part: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    skip: usize,
}

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let order = SORTS.iter().find(|(name, _, _)| *name == asked.sort);
    let order = order.map_or(Order::Name, |(_, _, order)| *order);
    let which = Which { part: asked.part.clone(), order, skip: asked.skip, take: PAGE };
    let list = listed(&console, &which).await;
    layout::page(&viewer, "Streams", Section::Streams, &view(&asked, &list))
}

async fn listed(console: &Console, which: &Which) -> Result<List, Fault> {
    let _permit = console.asks_many().await?;
    streams(console).await?.list(&console.config(), which).await
}

fn view(asked: &Asked, list: &Result<List, Fault>) -> Markup {
    html! {
        h1 { "Streams" }
        form.filter method="get" action=(STREAMS) role="search" {
            label { "Name contains " input type="search" name="part" value=(asked.part); }
            label { "Sort by "
                select name="sort" {
                    @for (name, label, _) in SORTS {
                        option value=(name) selected[name == asked.sort] { (label) }
                    }
                }
            }
            button type="submit" { "Show" }
        }
        @match list {
            Ok(list) => (found(asked, list)),
            Err(fault) => (told("Redis", fault)),
        }
    }
}

fn found(asked: &Asked, list: &List) -> Markup {
    if list.found == 0 {
        let fills = if asked.part.is_empty() {
            "A relay makes a stream when it appends the first event to it."
        } else {
            "Shorten what the name must contain."
        };
        return html! {
            (empty("No stream fits.", fills))
            (incomplete(list))
        };
    }
    let rows: Vec<Vec<Markup>> = list.streams.iter().map(row).collect();
    let end = asked.skip + list.streams.len();
    let page = |skip: usize| {
        let skip = if skip == 0 { String::new() } else { skip.to_string() };
        link(STREAMS, &[("part", &asked.part), ("sort", &asked.sort), ("skip", &skip)])
    };
    let columns = ["Stream", "Entries", "Memory", "Largest lag", "Pending", "Groups"];
    html! {
        p { (count(asked.skip + 1)) " to " (count(end)) " of " (count(list.found)) " streams." }
        (incomplete(list))
        (unseen(list))
        (table("Streams", &columns, &rows))
        nav.pages aria-label="Pages of streams" {
            @if asked.skip > 0 { a href=(page(asked.skip.saturating_sub(PAGE))) { "Previous" } }
            @if end < list.found { a href=(page(end)) { "Next" } }
        }
    }
}

fn incomplete(list: &List) -> Markup {
    html! {
        @if list.is_incomplete {
            p.notice {
                "There may be more streams: Redis has too many keys to look at all of them for one \
                 page. A stream that is missing here opens at "
                code { (STREAM) "?name=…" } "."
            }
        }
        @if list.is_partly_sorted {
            p.notice { "Only the first 2,000 streams by name were sorted." }
        }
    }
}

/// What could not be found out, once for all streams that it is so of.
fn unseen(list: &List) -> Markup {
    let problems: BTreeSet<&String> =
        list.streams.iter().flat_map(|stream| &stream.problems).collect();
    html! {
        @for problem in problems { p.hint { "unknown: " (shown(problem)) } }
    }
}

fn row(stream: &Listed) -> Vec<Markup> {
    let figure = |figure: Option<i64>| figure.map_or_else(|| "?".to_owned(), number);
    vec![
        html! {
            a href=(addresses::stream(&stream.stream)) { (shown(&stream.stream)) }
        },
        html! { (figure(stream.entries)) },
        html! { (bytes(stream.memory_bytes)) },
        html! { (if stream.groups.is_empty() { "-".to_owned() } else { figure(stream.lag()) }) },
        html! { (number(stream.pending())) },
        groups(stream),
    ]
}

fn groups(stream: &Listed) -> Markup {
    let more = stream.groups.len().saturating_sub(GROUPS);
    html! {
        @if stream.groups.is_empty() { span.hint { "nobody reads it" } }
        @for group in stream.groups.iter().take(GROUPS) {
            div {
                a href=(addresses::group(&stream.stream, &group.group)) { (shown(&group.group)) }
                " " span.hint { (in_short(group)) }
            }
        }
        @if more > 0 { div.hint { "and " (more) " more" } }
    }
}

fn in_short(group: &ListedGroup) -> String {
    let lag = group.lag.map_or_else(|| "?".to_owned(), number);
    let (pending, consumers) = (number(group.pending), number(group.consumers));
    format!("lag {lag}, pending {pending}, consumers {consumers}")
}

/// A size, for people.
pub(super) fn bytes(bytes: Option<i64>) -> String {
    let bytes = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    bytes.map_or_else(|| "?".to_owned(), |bytes| bytesize::ByteSize::b(bytes).to_string())
}

fn count(count: usize) -> String {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}
