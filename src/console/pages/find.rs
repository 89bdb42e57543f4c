//! Find: one event: where it is, and what became of it.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::html;

use crate::console::access::Viewer;
use crate::console::layout::{self, Section};
use crate::console::parts;
use crate::console::state::Console;

pub(super) fn routes() -> Router<Console> {
    Router::new().route(Section::Find.path(), get(show))
}

async fn show(viewer: Viewer) -> Response {
    let body = html! {
        h1 { "Find" }
        (parts::empty("This page is not built yet.", "The command line has what it will show."))
    };
    layout::page(&viewer, "Find", Section::Find, &body)
}
