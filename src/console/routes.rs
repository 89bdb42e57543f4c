//! Which address is answered by what. Everything but the log-in and the assets is behind the guard.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::access::guard::{BODY_BYTES_MAX, door, guard};
use super::access::paths::{LOG_IN, LOG_OUT};
use super::access::{Viewer, login};
use super::answer;
use super::assets;
use super::pages;
use super::state::Console;

/// The whole console.
pub(super) fn all(console: Console) -> Router {
    let guarded = pages::routes()
        .route(LOG_OUT, post(login::leave))
        .fallback(unknown)
        .layer(Extension(Arc::clone(console.jobs())))
        .layer(from_fn_with_state(console.clone(), guard));
    Router::new()
        .route(LOG_IN, get(login::page).post(login::submit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route(assets::ROUTE, get(assets::serve))
        .merge(guarded)
        .layer(from_fn_with_state(console.clone(), door))
        .with_state(console)
}

async fn unknown(viewer: Viewer) -> Response {
    answer::refused(&viewer, StatusCode::NOT_FOUND, "There is no such page.")
}
