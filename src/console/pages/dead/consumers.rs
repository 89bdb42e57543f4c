//! The dead letters of consumers: which streams have some, those of one stream by what they have in
//! common, and a list of them.

use axum::extract::{Query, State};
use axum::response::Response;
use futures_util::StreamExt as _;
use maud::{Markup, html};

use super::selection::Asked;
use crate::config::Config;
use crate::console::access::Viewer;
use crate::console::addresses::{
    self, OF_STREAM, STREAM_DISCARD, STREAM_LETTERS, STREAM_RETRY, dead_of,
};
use crate::console::asking::{streams, told};
use crate::console::contents::fields;
use crate::console::layout::{self, Section};
use crate::console::parts::{empty, number, shown, table, time};
use crate::console::state::Console;
use crate::operate::streams::{DeadGroup, DeadGroups, Entry, Look, Page, Seen, Streams};
use outflow_core::fault::Fault;

/// Letters on one page.
const PAGE: usize = 25;
/// Streams that are asked about at a time: the connection takes 64 commands.
const TOGETHER: usize = 16;
/// Streams with dead letters that are named.
const HEAPS: usize = 200;

/// A stream with dead letters.
pub(super) struct Heap {
    stream: String,
    letters: i64,
}

/// The streams with dead letters, those with the most first, and whether there may be more.
pub(super) async fn heaps(streams: &Streams, config: &Config) -> Result<(Vec<Heap>, bool), Fault> {
    let (names, is_incomplete) = streams.names(config).await?;
    let count = async |stream: String| {
        let letters = streams.length(&streams.dead_stream(&stream)).await?;
        Ok::<_, Fault>(Heap { stream, letters })
    };
    let asked: Vec<_> = names.into_iter().map(count).collect();
    let heaps = futures_util::stream::iter(asked).buffered(TOGETHER);
    let heaps: Vec<Result<Heap, Fault>> = heaps.collect().await;
    let mut heaps: Vec<Heap> = heaps.into_iter().collect::<Result<_, _>>()?;
    heaps.retain(|heap| heap.letters > 0);
    heaps.sort_by_key(|heap| std::cmp::Reverse(heap.letters));
    Ok((heaps, is_incomplete))
}

pub(super) fn all(heaps: &[Heap], is_incomplete: bool) -> Markup {
    let row = |heap: &Heap| {
        vec![
            html! { a href=(dead_of(&heap.stream)) { (shown(&heap.stream)) } },
            html! { (number(heap.letters)) },
        ]
    };
    let rows: Vec<Vec<Markup>> = heaps.iter().take(HEAPS).map(row).collect();
    html! {
        @if rows.is_empty() {
            (empty(
                "There are no dead letters.",
                "A consumer puts an entry beside its stream (STREAM.dead) when it gives up on it.",
            ))
        } @else {
            (table("Streams with dead letters", &["Stream", "Dead letters"], &rows))
        }
        @if heaps.len() > HEAPS {
            p.hint { "The first " (HEAPS) " of " (heaps.len()) " streams are shown." }
        }
        @if is_incomplete {
            p.notice {
                "There may be more: Redis has too many keys to look at all of them for one page."
            }
        }
        form.filter method="get" action=(OF_STREAM) {
            label { "Dead letters of stream " input type="text" name="name" required; }
            button type="submit" { "Show" }
        }
    }
}

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let found = match streams(&console).await {
        Ok(streams) => streams.dead_groups(&asked.name, viewer.sees_payloads).await,
        Err(fault) => Err(fault),
    };
    let body = html! {
        (heading(&asked))
        @match &found {
            Ok(Some(found)) => (groups(&viewer, &asked, found)),
            Ok(None) => (empty(
                "This stream has no dead letters.",
                "A consumer puts an entry there when it gives up on it.",
            )),
            Err(fault) => (told("Redis", fault)),
        }
    };
    layout::page(&viewer, "Dead letters", Section::DeadLetters, &body)
}

fn heading(asked: &Asked) -> Markup {
    html! {
        h1 { "Dead letters of consumers" }
        p {
            "of stream " a href=(addresses::stream(&asked.name)) { (shown(&asked.name)) } " · "
            a href=(Section::DeadLetters.path()) { "All dead letters" }
        }
    }
}

fn groups(viewer: &Viewer, asked: &Asked, found: &DeadGroups) -> Markup {
    let all = Asked { name: asked.name.clone(), ..Asked::default() };
    let rows: Vec<Vec<Markup>> =
        found.groups.iter().map(|group| row(viewer, asked, group)).collect();
    let columns = ["Error", "Letters", "Group", "Type", "Attempts", "Last", "Actions"];
    let by = if viewer.sees_payloads { "error, group and type" } else { "group and type" };
    let looked = i64::try_from(found.looked).unwrap_or(i64::MAX);
    html! {
        p {
            (number(found.letters)) " dead letters in "
            a href=(addresses::stream(&found.stream)) { (shown(&found.stream)) } ". "
            @if found.seen != Seen::All {
                "Grouped are the newest " (number(looked)) " of them. "
            }
            a href=(all.at(STREAM_LETTERS, &[])) { "Show all" }
            @if viewer.may_operate() {
                " · " a href=(all.at(STREAM_RETRY, &[])) { "Retry all…" }
                " · " a href=(all.at(STREAM_DISCARD, &[])) { "Discard all…" }
            }
        }
        (table(&format!("Dead letters by {by}"), &columns, &rows))
        @if !viewer.sees_payloads {
            p.hint { "Errors may quote events, which are hidden from your role." }
        }
        @if found.groups_found > found.groups.len() {
            p.hint { "The largest of " (found.groups_found) " groups are shown." }
        }
        p {
            "Who retried or discarded what is also in "
            a href=(addresses::stream(&format!("{}.audit", found.stream))) {
                (shown(&found.stream)) ".audit"
            }
            ", from the command line too."
        }
    }
}

fn row(viewer: &Viewer, asked: &Asked, group: &DeadGroup) -> Vec<Markup> {
    let of = Asked::of_group(&asked.name, group);
    let error = match group.reason.as_deref() {
        None => "(hidden)",
        Some("") => "(no error)",
        Some(reason) => reason,
    };
    vec![
        html! { a href=(of.at(STREAM_LETTERS, &[])) { (shown(error)) } },
        html! { (number(i64::try_from(group.letters).unwrap_or(i64::MAX))) },
        html! { (shown(&group.group)) },
        html! { (shown(&group.kind)) },
        html! { "up to " (group.attempts_max) },
        html! { @if let Some(at) = group.last_died_at { (time(at)) } @else { "-" } },
        html! {
            @if viewer.may_operate() {
                a href=(of.at(STREAM_RETRY, &[])) { "Retry…" } " "
                a href=(of.at(STREAM_DISCARD, &[])) { "Discard…" }
            }
        },
    ]
}

pub(super) async fn letters(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let found = some(&viewer, &console, &asked).await;
    let body = html! {
        (heading(&asked))
        p { a href=(dead_of(&asked.name)) { "By error, group and type" } }
        @match &found {
            Ok(page) => (listed(&viewer, &asked, page)),
            Err(fault) => (told("Redis", fault)),
        }
    };
    layout::page(&viewer, "Dead letters", Section::DeadLetters, &body)
}

async fn some(viewer: &Viewer, console: &Console, asked: &Asked) -> Result<Page, Fault> {
    let selection = asked.selection(viewer)?;
    let look = asked.before.parse().map_or(Look::Newest, Look::Before);
    let (streams, contents) = (streams(console).await?, viewer.sees_payloads);
    streams.dead_letters(&asked.name, &selection, look, PAGE, contents).await
}

fn listed(viewer: &Viewer, asked: &Asked, page: &Page) -> Markup {
    let last = match page.seen {
        Seen::All => None,
        Seen::Enough | Seen::Bounded => page.last_looked.as_deref(),
    };
    html! {
        @if page.entries.is_empty() && last.is_none() {
            (empty("No dead letter is selected.", "It was retried or discarded."))
        }
        @if viewer.may_operate() && !page.entries.is_empty() {
            p {
                a.button href=(asked.at(STREAM_RETRY, &[])) { "Retry all of these…" } " "
                a.button href=(asked.at(STREAM_DISCARD, &[])) { "Discard all of these…" }
            }
        }
        @for entry in &page.entries { (letter(viewer, asked, entry)) }
        @if page.seen == Seen::Bounded {
            p.notice { "One page looks at no more than " (page.looked) " dead letters." }
        }
        nav.pages aria-label="Pages of dead letters" {
            @if !asked.before.is_empty() { a href=(asked.at(STREAM_LETTERS, &[])) { "Newest" } }
            @if let Some(last) = last {
                a rel="next" href=(asked.at(STREAM_LETTERS, &[("before", last)])) { "Older" }
            }
        }
    }
}

fn letter(viewer: &Viewer, asked: &Asked, entry: &Entry) -> Markup {
    let one = Asked { name: asked.name.clone(), id: entry.id.clone(), ..Asked::default() };
    let stream = entry.text("dead_stream").zip(entry.text("dead_entry_id"));
    html! {
        article.entry {
            h3 {
                (shown(&entry.id))
                @if let Some(at) = entry.at { " " span.hint { (time(at)) } }
            }
            @if viewer.may_operate() {
                p {
                    a href=(one.at(STREAM_RETRY, &[])) { "Retry…" } " "
                    a href=(one.at(STREAM_DISCARD, &[])) { "Discard…" }
                }
            }
            @if let Some((stream, id)) = stream {
                p {
                    "was entry " a href=(addresses::entry(stream, id)) { (shown(id)) }
                    " of " (shown(stream))
                }
            }
            (fields(entry))
        }
    }
}
