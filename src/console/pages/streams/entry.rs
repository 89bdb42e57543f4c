//! One entry of a stream, with as much of its fields as fits on a page.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::access::Viewer;
use crate::console::addresses;
use crate::console::asking::{streams, told};
use crate::console::contents::fields;
use crate::console::layout::{self, Section};
use crate::console::parts::{empty, number, problem, shown, time};
use crate::console::state::Console;
use crate::operate::streams::Entry;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    name: String,
    id: String,
}

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let body = match (streams(&console).await, asked.id.parse()) {
        (Err(fault), _) => told("Redis", &fault),
        (Ok(_), Err(bad)) => problem("No such entry", &bad, "Follow a link of the stream's page."),
        (Ok(streams), Ok(id)) => match streams.entry(&asked.name, id, viewer.sees_payloads).await {
            Ok(Some(entry)) => view(&entry),
            Ok(None) => empty("The stream has no such entry.", "It was trimmed or deleted."),
            Err(fault) => told("Redis", &fault),
        },
    };
    let body = html! {
        h1 { "Entry " (shown(&asked.id)) }
        p { "of stream " a href=(addresses::stream(&asked.name)) { (shown(&asked.name)) } }
        (body)
    };
    layout::page(&viewer, "Entry", Section::Streams, &body)
}

fn view(entry: &Entry) -> Markup {
    html! {
        p {
            @if let Some(at) = entry.at { "Appended " (time(at)) ", " }
            (number(i64::try_from(entry.bytes).unwrap_or(i64::MAX))) " bytes."
        }
        (fields(entry))
    }
}
