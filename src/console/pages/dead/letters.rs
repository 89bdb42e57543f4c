//! The relay's dead letters of a filter, a page at a time, the oldest first.

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};

use super::filter::Asked;
use crate::console::access::Viewer;
use crate::console::addresses::{DISCARD, LETTER, LETTERS, RETRY};
use crate::console::asking::{looking, told};
use crate::console::layout::{self, Section};
use crate::console::link::link;
use crate::console::parts::{empty, number, shown, table, time};
use crate::console::state::Console;
use crate::operate::dead_letters::{self, Filter, Letter};
use outflow_core::fault::Fault;

/// Letters on one page.
const PAGE: usize = 50;

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let found = ask(&console, &asked).await;
    let body = html! {
        h1 { "Dead letters of the relay" }
        p { a href=(Section::DeadLetters.path()) { "All groups" } }
        (asked.form())
        @match &found {
            Ok(letters) => (listed(&viewer, &asked, letters)),
            Err(fault) => (told("Postgres", fault)),
        }
    };
    layout::page(&viewer, "Dead letters", Section::DeadLetters, &body)
}

async fn ask(console: &Console, asked: &Asked) -> Result<Vec<Letter>, Fault> {
    // One more than is shown tells whether there are more.
    let limit = i64::try_from(PAGE + 1).ok();
    let filter = Filter { limit, ..asked.filter()? };
    looking(console, async |client| dead_letters::page(client, &filter).await).await
}

fn listed(viewer: &Viewer, asked: &Asked, letters: &[Letter]) -> Markup {
    if letters.is_empty() {
        return empty("No dead letter is selected.", "Leave a field of the filter empty.");
    }
    let rows: Vec<Vec<Markup>> = letters.iter().take(PAGE).map(row).collect();
    let columns =
        ["Number", "Died", "Outbox", "Reason", "Stream", "Type", "Key", "Event id", "Bytes"];
    html! {
        @if viewer.may_operate() {
            p {
                a.button href=(asked.at(RETRY, &[])) { "Retry all of this filter…" } " "
                a.button href=(asked.at(DISCARD, &[])) { "Discard all of this filter…" }
            }
        }
        (table("Dead letters, the oldest first", &columns, &rows))
        nav.pages aria-label="Pages of dead letters" {
            @if !asked.first.is_empty() { a href=(asked.at(LETTERS, &[])) { "Oldest" } }
            @if let Some(next) = letters.get(PAGE) {
                @let newer = asked.at(LETTERS, &[("first", &next.id.to_string())]);
                a rel="next" href=(newer) { "Newer" }
            }
        }
    }
}

fn row(letter: &Letter) -> Vec<Markup> {
    let text = |text: &str| html! { (shown(text)) };
    let optional = |text: &Option<String>| html! { (shown(text.as_deref().unwrap_or("-"))) };
    vec![
        html! { a href=(link(LETTER, &[("id", &letter.id.to_string())])) { (letter.id) } },
        time(letter.died_at),
        text(&letter.outbox),
        text(&letter.reason),
        optional(&letter.stream),
        text(&letter.kind),
        optional(&letter.key),
        text(&letter.event_id),
        html! { (number(letter.payload_bytes)) },
    ]
}
