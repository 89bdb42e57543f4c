//! Streams: all of them at a glance, one with its newest entries and its groups, one entry, one
//! group with what it has pending.

mod asked;
mod entries;
mod entry;
mod group;
mod list;
mod stream;

use axum::Router;
use axum::routing::get;

use crate::console::addresses::{ENTRY, GROUP, STREAM, STREAMS};
use crate::console::state::Console;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route(STREAMS, get(list::page))
        .route(STREAM, get(stream::page))
        .route(ENTRY, get(entry::page))
        .route(GROUP, get(group::page))
}
