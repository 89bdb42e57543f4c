//! One consumer group: its figures, its consumers, and the entries that it has pending.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::access::Viewer;
use crate::console::addresses::{self, GROUP};
use crate::console::asking::{streams, told};
use crate::console::layout::{self, Section};
use crate::console::link::link;
use crate::console::parts::{empty, number, seconds, shown, table};
use crate::console::state::Console;
use crate::operate::streams::{self as acts, ACTIVE, Group, Pending, Streams};
use outflow_core::fault::Fault;

/// Pending entries on one page.
const PAGE: usize = 50;
/// Consumers that are shown.
const CONSUMERS: usize = 200;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    name: String,
    group: String,
    after: String,
}

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let body = match streams(&console).await {
        Ok(streams) => match ask(&streams, &asked).await {
            Ok((group, pending)) => view(&viewer, &asked, &group, &pending),
            Err(fault) => told("Redis", &fault),
        },
        Err(fault) => told("Redis", &fault),
    };
    let body = html! {
        h1 { "Group " (shown(&asked.group)) }
        p { "of stream " a href=(addresses::stream(&asked.name)) { (shown(&asked.name)) } }
        (body)
    };
    layout::page(&viewer, "Group", Section::Streams, &body)
}

async fn ask(streams: &Streams, asked: &Asked) -> Result<(Group, Vec<Pending>), Fault> {
    let group = acts::group_of(streams, &asked.name, &asked.group, ACTIVE).await?;
    let after = asked.after.parse().ok();
    let pending = streams.pending(&asked.name, &asked.group, after, PAGE).await?;
    Ok((group, pending))
}

fn view(viewer: &Viewer, asked: &Asked, group: &Group, pending: &[Pending]) -> Markup {
    let report = &group.report;
    html! {
        dl.facts {
            dt { "Lag" }
            dd { (report.lag.map_or_else(|| "unknown to Redis".to_owned(), number)) }
            dt { "Pending" } dd { (number(report.pending)) }
            dt { "Oldest pending" }
            dd { (report.oldest_pending_age_seconds.map_or_else(|| "-".to_owned(), seconds)) }
            dt { "Last delivered" } dd { (shown(&report.last_delivered_id)) }
        }
        @if viewer.may_operate() {
            p { a.button href=(addresses::drop_group(&asked.name, &asked.group)) {
                "Drop this group…"
            } }
        }
        h2 { "Consumers" }
        (consumers(group))
        h2 { "Pending entries" }
        (waiting(asked, pending))
    }
}

fn consumers(group: &Group) -> Markup {
    let all = &group.report.consumers;
    if all.is_empty() {
        return empty("The group has no consumers.", "A consumer appears when it first reads.");
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .take(CONSUMERS)
        .map(|one| vec![shown(&one.consumer), number(one.pending), seconds(one.idle_seconds)])
        .collect();
    let is_old = group.report.may_wait_unseen();
    let seen = if is_old { "Last got entries" } else { "Last asked" };
    html! {
        (table("Consumers", &["Consumer", "Pending", seen], &rows))
        @if is_old {
            p.hint {
                "Redis before 7.2 does not tell when a consumer last asked for entries. One that \
                 waits for them looks as if it were gone."
            }
        }
        @if all.len() > CONSUMERS {
            p.hint { "The first " (CONSUMERS) " of " (all.len()) " consumers are shown." }
        }
    }
}

fn waiting(asked: &Asked, pending: &[Pending]) -> Markup {
    if pending.is_empty() {
        return empty(
            "No entry is pending.",
            "Entries are pending from their delivery until the consumer acknowledges them.",
        );
    }
    let row = |one: &Pending| {
        vec![
            html! { a href=(addresses::entry(&asked.name, &one.id)) { (shown(&one.id)) } },
            html! { (shown(&one.consumer)) },
            html! { (seconds(one.idle_seconds)) },
            html! { (number(one.deliveries)) },
        ]
    };
    let rows: Vec<Vec<Markup>> = pending.iter().map(row).collect();
    let columns = ["Entry", "Consumer", "Delivered ago", "Deliveries"];
    html! {
        (table("Pending entries, the oldest first", &columns, &rows))
        @if let Some(last) = pending.last().filter(|_| pending.len() == PAGE) {
            nav.pages aria-label="Pages of pending entries" {
                a href=(link(GROUP, &[
                    ("name", &asked.name), ("group", &asked.group), ("after", &last.id),
                ])) { "Next" }
            }
        }
    }
}
