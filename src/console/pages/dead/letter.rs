//! One dead letter of the relay, with everything that was kept of it.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};

use super::filter::Asked;
use crate::console::access::Viewer;
use crate::console::addresses::{self, DISCARD, RETRY};
use crate::console::asking::{looking, told};
use crate::console::contents::{contents, words};
use crate::console::layout::{self, Section};
use crate::console::parts::{empty, problem, shown, time};
use crate::console::state::Console;
use crate::operate::dead_letters::{self, Letter};

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let body = match asked.id.parse::<i64>() {
        Err(bad) => problem("No such dead letter", &bad, "Follow a link of the list."),
        Ok(id) => {
            let seen = viewer.sees_payloads;
            let look = looking(&console, async |client| dead_letters::one(client, id, seen).await);
            match look.await {
                Ok(Some(letter)) => view(&viewer, &letter),
                Ok(None) => empty("There is no such dead letter.", "It was retried or discarded."),
                Err(fault) => told("Postgres", &fault),
            }
        }
    };
    let body = html! { h1 { "Dead letter " (shown(&asked.id)) } (body) };
    layout::page(&viewer, "Dead letter", Section::DeadLetters, &body)
}

fn view(viewer: &Viewer, letter: &Letter) -> Markup {
    let asked = Asked { id: letter.id.to_string(), ..Asked::default() };
    let optional = |text: &Option<String>| shown(text.as_deref().unwrap_or("-"));
    html! {
        @if viewer.may_operate() {
            p {
                a.button href=(asked.at(RETRY, &[])) { "Retry…" } " "
                a.button href=(asked.at(DISCARD, &[])) { "Discard…" }
            }
        }
        dl.facts {
            dt { "Reason" } dd { (shown(&letter.reason)) }
            @if let Some(detail) = &letter.detail {
                dt { "Error" }
                dd { (contents(Some(words(viewer, detail)), false, detail.len(), false)) }
            }
            dt { "Died" } dd { (time(letter.died_at)) }
            dt { "Outbox" } dd { (shown(&letter.outbox)) }
            dt { "Row" } dd { (shown(&letter.row)) }
            dt { "Stream" }
            dd {
                @match &letter.stream {
                    Some(stream) => { a href=(addresses::stream(stream)) { (shown(stream)) } }
                    None => { "none" }
                }
            }
            dt { "Event id" } dd { (shown(&letter.event_id)) }
            dt { "Type" } dd { (shown(&letter.kind)) }
            dt { "Key" } dd { (optional(&letter.key)) }
            dt { "Time" } dd { (optional(&letter.time)) }
            @if !letter.missing.is_empty() {
                dt { "Missing" }
                dd {
                    (shown(&letter.missing.join(", ")))
                    " " span.hint { "It cannot be retried: insert the event by hand." }
                }
            }
            dt { "Payload" } dd { (payload(viewer, letter)) }
            @if viewer.sees_payloads {
                @if let Some(headers) = &letter.headers {
                    dt { "Headers" } dd { (contents(Some(headers), false, headers.len(), false)) }
                }
                @for (name, value) in [("Columns", &letter.route), ("Bytes", &letter.bytes)] {
                    @if let Some(value) = value {
                        dt { (name) }
                        dd { (contents(Some(&value.to_string()), false, 0, false)) }
                    }
                }
            }
        }
    }
}

fn payload(viewer: &Viewer, letter: &Letter) -> Markup {
    let bytes = usize::try_from(letter.payload_bytes).unwrap_or(0);
    if !viewer.sees_payloads {
        return contents(None, false, bytes, false);
    }
    match (&letter.payload, &letter.payload_hex) {
        (Some(text), _) if text.is_empty() && bytes > 0 => html! {
            "It is too long as text to be shown: "
            code { "outflow dead show " (letter.id) }
        },
        // A document may be longer as text than it is stored.
        (Some(text), _) => contents(Some(text), false, bytes, text.len() < bytes),
        (None, Some(digits)) => contents(Some(digits), true, bytes, digits.len() / 2 < bytes),
        (None, None) => html! { "none" },
    }
}
