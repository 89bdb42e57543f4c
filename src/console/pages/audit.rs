//! Audit: who did what, from console and command line alike, the newest first.

use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::console::access::Viewer;
use crate::console::contents::words;
use crate::console::layout::{self, Section};
use crate::console::parts;
use crate::console::state::Console;
use crate::operate::audit_log::{self, Deed, Page};
use outflow_connect::postgres::describe;
use outflow_core::fault::Fault;

/// More than Postgres gives the statement.
const PATIENCE: Duration = Duration::from_secs(7);

/// A field of a filter.
const REASON: &str = "reason";

#[derive(Deserialize)]
struct Asked {
    before: Option<i64>,
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route(Section::Audit.path(), get(show))
}

async fn show(
    State(console): State<Console>,
    viewer: Viewer,
    Query(asked): Query<Asked>,
) -> Response {
    let found = ask(&console, asked.before).await;
    let body = html! {
        h1 { "Audit" }
        p.hint {
            "Every action, written before it was done, by the console and by the command line. "
            "Outflow never removes rows from " code { "outflow.audit" } "."
        }
        @match &found {
            Err(fault) => (parts::unreachable("Postgres", fault)),
            Ok(Ok(page)) => (listing(&viewer, page, asked.before)),
            Ok(Err(why)) => (parts::problem(
                "The audit cannot be read",
                why,
                "Run `outflow migrate`, and grant select on outflow.audit to the role of \
                    postgres.url.",
            )),
        }
    };
    layout::page(&viewer, "Audit", Section::Audit, &body)
}

/// The page, or why Postgres does not give it.
async fn ask(console: &Console, before: Option<i64>) -> Result<Result<Page, String>, Fault> {
    let session = console.postgres().await?;
    match timeout(PATIENCE, audit_log::page(&session, before)).await {
        Ok(Ok(page)) => {
            session.done();
            Ok(Ok(page))
        }
        Ok(Err(error)) if error.code().is_some() => Ok(Err(describe(&error))),
        Ok(Err(error)) => Err(Fault::unreachable(describe(&error))),
        Err(_elapsed) => {
            let seconds = PATIENCE.as_secs();
            Err(Fault::unreachable(format!("no answer for {seconds} s")))
        }
    }
}

fn listing(viewer: &Viewer, page: &Page, before: Option<i64>) -> Markup {
    let columns = ["When", "Who", "What", "Outbox", "Number", "Of what", "From"];
    let rows: Vec<Vec<Markup>> = page.deeds.iter().map(|deed| row(viewer, deed)).collect();
    html! {
        @if rows.is_empty() {
            (parts::empty(
                if before.is_some() { "There is nothing older." } else { "Nothing was done yet." },
                "Pauses, retries, discards and replays are listed here.",
            ))
        } @else {
            (parts::table("Actions, the newest first", &columns, &rows))
        }
        nav.pages aria-label="Pages of the audit" {
            @if before.is_some() { a href=(Section::Audit.path()) { "Newest" } }
            @if let (true, Some(last)) = (page.has_more, page.deeds.last()) {
                a rel="next" href={ (Section::Audit.path()) "?before=" (last.id) } { "Older" }
            }
        }
    }
}

fn row(viewer: &Viewer, deed: &Deed) -> Vec<Markup> {
    let text = |text: &str| html! { (parts::shown(text)) };
    let Deed { via, operator, os_user, host, role, client_address, .. } = deed;
    let from = client_address.as_ref().map(|address| format!(" ({address})")).unwrap_or_default();
    vec![
        parts::time(deed.at),
        text(operator.as_ref().unwrap_or(os_user)),
        text(&deed.action),
        text(&deed.outbox),
        html! { (parts::number(deed.letters)) },
        filter(viewer, deed),
        text(&format!("{via}, {os_user} on {host}, role {role}{from}")),
    ]
}

/// What was asked for: names and values. Dead letters of consumers are chosen by their errors.
fn filter(viewer: &Viewer, deed: &Deed) -> Markup {
    let text = |value: &Value| {
        parts::shown(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let Some(fields) = deed.filter.as_object() else { return html! { (text(&deed.filter)) } };
    let is_error = |name: &str| name == REASON && deed.action.contains("stream dead letters");
    html! {
        @for (name, value) in fields {
            @let value = text(value);
            @let value = if is_error(name) { words(viewer, &value) } else { value.as_str() };
            span.field { (parts::shown(name)) ": " (value) } " "
        }
    }
}
