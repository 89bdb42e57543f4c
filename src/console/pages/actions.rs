//! Actions: what a person can make the relays do. Each asks first, and says what it concerns.

mod drop_group;
mod index;
mod pause;
mod replay;
mod retry;

use axum::Router;
use axum::routing::get;

use crate::console::addresses::{DROP_GROUP, PAUSE, REPLAY, RESUME, RETRY_PARKED};
use crate::console::layout::Section;
use crate::console::state::Console;

pub(super) fn routes() -> Router<Console> {
    Router::new()
        .route(Section::Actions.path(), get(index::page))
        .route(PAUSE, get(pause::ask_pause).post(pause::pause))
        .route(RESUME, get(pause::ask_resume).post(pause::resume))
        .route(RETRY_PARKED, get(retry::ask).post(retry::retry))
        .route(REPLAY, get(replay::ask).post(replay::replay))
        .route(DROP_GROUP, get(drop_group::ask).post(drop_group::act))
}
