//! All dead letters, by what they have in common: Postgres first, then Redis. One of them may be
//! down; the other is shown.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use futures_util::future::join;
use maud::{Markup, html};
use serde::Deserialize;

use super::consumers::{self, Heap};
use super::filter::Asked;
use crate::console::access::Viewer;
use crate::console::addresses::{DISCARD, LETTERS, RETRY};
use crate::console::asking::{looking, streams, told};
use crate::console::jobs::Jobs;
use crate::console::layout::{self, Section};
use crate::console::pages::jobs::at_work;
use crate::console::parts::{empty, number, shown, table, time};
use crate::console::state::Console;
use crate::console::typed::given;
use crate::operate::dead_letters::{Group, Groups, groups};
use outflow_core::fault::Fault;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Narrowed {
    outbox: String,
    reason: String,
}

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Extension(jobs): Extension<Arc<Jobs>>,
    Query(asked): Query<Narrowed>,
) -> Response {
    let (outbox, reason) = (given(&asked.outbox), given(&asked.reason));
    let of_relay = looking(&console, async |client| {
        groups(client, outbox.as_deref(), reason.as_deref()).await
    });
    let of_consumers = async {
        let _permit = console.asks_many().await?;
        let streams = streams(&console).await?;
        consumers::heaps(&streams, &console.config()).await
    };
    let (of_relay, of_consumers) = join(of_relay, of_consumers).await;
    let body = html! {
        h1 { "Dead letters" }
        (at_work(&jobs))
        h2 { "Events that the relay could not deliver" }
        (of_relays(&viewer, &asked, &of_relay))
        h2 { "Entries that consumers could not handle" }
        (of_all(&of_consumers))
    };
    layout::page(&viewer, "Dead letters", Section::DeadLetters, &body)
}

fn of_relays(viewer: &Viewer, asked: &Narrowed, found: &Result<Groups, Fault>) -> Markup {
    let found = match found {
        Ok(found) => found,
        Err(fault) => return told("Postgres", fault),
    };
    if found.groups.is_empty() {
        return empty(
            "There are no dead letters.",
            "Events come here that name no stream, are too large, or that Postgres cannot return.",
        );
    }
    let all =
        Asked { outbox: asked.outbox.clone(), reason: asked.reason.clone(), ..Asked::default() };
    let rows: Vec<Vec<Markup>> = found.groups.iter().map(|group| row(viewer, group)).collect();
    let columns = ["Reason", "Letters", "Outbox", "Stream", "Type", "First", "Last", "Actions"];
    html! {
        p {
            (number(found.letters)) " dead letters in " (number(found.groups_found)) " groups"
            @if found.is_capped { ", the newest ones; older ones were not counted" }
            ". "
            a href=(all.at(LETTERS, &[])) { "Show all" }
            @if viewer.may_operate() {
                " · " a href=(all.at(RETRY, &[])) { "Retry all…" }
                " · " a href=(all.at(DISCARD, &[])) { "Discard all…" }
            }
        }
        (table("Dead letters of the relay", &columns, &rows))
        @if usize::try_from(found.groups_found).is_ok_and(|found| found > rows.len()) {
            p.hint { "The largest " (rows.len()) " groups are shown." }
        }
    }
}

fn row(viewer: &Viewer, group: &Group) -> Vec<Markup> {
    let asked = Asked::of_group(group);
    let text = |text: &Option<String>, none: &str| {
        html! {
            @if let Some(text) = text { (shown(text)) } @else { span.hint { (none) } }
        }
    };
    vec![
        html! {
            @if let Some(asked) = &asked {
                a href=(asked.at(LETTERS, &[])) { (shown(&group.reason)) }
            } @else { (shown(&group.reason)) }
        },
        html! { (number(group.letters)) },
        html! { (shown(&group.outbox)) },
        text(&group.stream, "none"),
        text(&group.kind, "too long to select by"),
        time(group.first_died_at),
        time(group.last_died_at),
        html! {
            @if let Some(asked) = asked.filter(|_| viewer.may_operate()) {
                a href=(asked.at(RETRY, &[])) { "Retry…" } " "
                a href=(asked.at(DISCARD, &[])) { "Discard…" }
            }
        },
    ]
}

fn of_all(found: &Result<(Vec<Heap>, bool), Fault>) -> Markup {
    match found {
        Ok((heaps, is_incomplete)) => consumers::all(heaps, *is_incomplete),
        Err(fault) => told("Redis", fault),
    }
}
