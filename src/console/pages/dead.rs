//! Dead letters: those of the relay, in Postgres, and those of consumers, in Redis. Grouped by what
//! they have in common; one, a group or all of a filter is retried or discarded.

mod consumers;
mod filter;
mod letter;
mod letters;
mod overview;
mod relay;
mod selection;
mod words;

use axum::Router;
use axum::routing::get;

use crate::console::addresses::{
    DISCARD, LETTER, LETTERS, OF_STREAM, RETRY, STREAM_DISCARD, STREAM_LETTERS, STREAM_RETRY,
};
use crate::console::layout::Section;
use crate::console::state::Console;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route(Section::DeadLetters.path(), get(overview::page))
        .route(LETTERS, get(letters::page))
        .route(LETTER, get(letter::page))
        .route(RETRY, get(relay::ask_retry).post(relay::retry))
        .route(DISCARD, get(relay::ask_discard).post(relay::discard))
        .route(OF_STREAM, get(consumers::page))
        .route(STREAM_LETTERS, get(consumers::letters))
        .route(STREAM_RETRY, get(selection::ask_retry).post(selection::retry))
        .route(STREAM_DISCARD, get(selection::ask_discard).post(selection::discard))
}
