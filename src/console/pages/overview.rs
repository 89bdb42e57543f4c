//! Overview: what is wrong, in words and with what mends it; then each outbox.

mod outbox;
mod plot;
mod stream;
mod wrong;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use crate::console::access::Viewer;
use crate::console::layout::{self, Section};
use crate::console::live::Seen;
use crate::console::parts;
use crate::console::state::Console;

/// What the page is kept up to date from.
const LIVE: &str = "/live";

pub(super) fn routes() -> Router<Console> {
    Router::new().route(Section::Overview.path(), get(show)).route(LIVE, get(stream::live))
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Response {
    let seen = console.now().await;
    let body = html! {
        h1 { "Overview" }
        div data-live=(LIVE) { (content(&console, &viewer, seen.as_deref())) }
    };
    layout::page(&viewer, "Overview", Section::Overview, &body)
}

/// What changes on the page.
fn content(console: &Console, viewer: &Viewer, seen: Option<&Seen>) -> Markup {
    let Some(seen) = seen else {
        return html! {
            p.notice role="status" {
                "The databases have not answered yet. This page fills in when they do; without \
                    JavaScript, reload it."
            }
        };
    };
    let status = &seen.status;
    html! {
        @if seen.is_old() {
            p.notice.warning role="status" {
                "The databases take long to answer: this is how things stood at "
                (parts::time(status.at)) "."
            }
        }
        (wrong::list(viewer, status))
        @for one in &status.outboxes {
            (outbox::section(console, viewer, one, status.postgres_problem.is_none()))
        }
        p.hint.asked { "Asked at " (parts::time(status.at)) "." }
    }
}
