//! Find: one event by its id, its key or its trace: where it is, what it waits for, and what each
//! consumer group has done with it. Payloads are neither searched nor shown.

mod asked;
mod view;

use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use tokio::time::timeout;

use crate::console::access::Viewer;
use crate::console::asking::told;
use crate::console::layout::{self, Section};
use crate::console::state::Console;
use crate::operate::find::{self, Found};
use crate::operate::pause::chosen;
use asked::Asked;
use outflow_core::fault::Fault;

/// A page waits no longer.
const LIMIT: Duration = Duration::from_secs(20);
/// Events that are shown.
const EVENTS: usize = 20;

pub(super) fn routes() -> Router<Console> {
    Router::new().route(Section::Find.path(), get(show))
}

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Response {
    const TITLE: &str = "Find";
    let body = html! { h1 { "Find an event" } (asked.form(&console.config())) };
    if asked.text.trim().is_empty() {
        return layout::page(&viewer, TITLE, Section::Find, &body);
    }
    let whose = viewer.clone();
    let found = async move { search(&console, &whose, &asked).await };
    layout::page_in_parts(&viewer, TITLE, Section::Find, &body, found)
}

async fn search(console: &Console, viewer: &Viewer, asked: &Asked) -> Markup {
    // Few at a time: a search reads much more than any other page.
    let _permit = match console.searches().await {
        Ok(permit) => permit,
        Err(fault) => return told("Nothing was looked for", &fault),
    };
    match timeout(LIMIT, ask(console, asked)).await {
        Ok(Ok(found)) => view::found(viewer, &found),
        Ok(Err(fault)) => told("Nothing was looked for", &fault),
        Err(_elapsed) => {
            let what = format!("the search took more than {} s", LIMIT.as_secs());
            let next = "choose an outbox, give a later time, or run `outflow find`, which goes on";
            told("Nothing was found in time", &Fault::failed(what).remedy(next))
        }
    }
}

async fn ask(console: &Console, asked: &Asked) -> Result<Found, Fault> {
    let config = console.config();
    let outbox = Some(asked.outbox.as_str()).filter(|outbox| !outbox.is_empty());
    let outboxes = chosen(&config.outboxes, outbox)?;
    let (mut first, mut bad) = (None, None);
    for wanted in asked.wanted()? {
        let query = find::Query { wanted, since: asked.since()?, limit: EVENTS };
        match find::find(&config, &outboxes, &query, |_| {}).await {
            Ok(found) if !found.events.is_empty() => return Ok(found),
            Ok(found) => first = first.or(Some(found)),
            // A text that is no event id may be a key.
            Err(fault) => bad = bad.or(Some(fault)),
        }
    }
    let none = || Fault::failed("there is nothing to look for");
    first.ok_or_else(|| bad.unwrap_or_else(none))
}
