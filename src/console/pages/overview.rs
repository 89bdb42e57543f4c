//! Overview: what is wrong, in words and with what mends it; then each outbox.

mod content;
mod outbox;
mod plot;
mod stream;
mod wrong;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use maud::html;

use crate::console::access::Viewer;
use crate::console::access::paths::LIVE;
use crate::console::layout::{self, Section};
use crate::console::state::Console;

pub(super) fn routes() -> Router<Console> {
    Router::new().route(Section::Overview.path(), get(show)).route(LIVE, get(stream::live))
}

async fn show(State(console): State<Console>, viewer: Viewer) -> Response {
    let seen = console.now().await;
    let body = html! {
        h1 { "Overview" }
        // Shown by the script while nothing comes.
        p #stale.notice.warning role="status" hidden {
            "The console does not answer: this page is not up to date."
        }
        div data-live=(LIVE) { (content::of(&console, &viewer, seen.as_deref())) }
    };
    layout::page(&viewer, "Overview", Section::Overview, &body)
}
