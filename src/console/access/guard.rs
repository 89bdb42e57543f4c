//! Every request passes here before any page sees it: the door, where it comes from, and the guard,
//! who sends it and what they may do. A page cannot forget to ask.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::paths::{LIVE, LOG_OUT, log_in};
use super::proxy::peer;
use super::{Viewer, login, origin};
use crate::console::answer;
use crate::console::places::Place;
use crate::console::state::Console;
use outflow_core::escape::printable;

/// Of a form: a filter, some ids, a few words.
pub(in crate::console) const BODY_BYTES_MAX: usize = 64 * 1024;

/// What the guard reads of every form.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    csrf: String,
}

#[derive(Deserialize)]
struct Query {
    said: Option<String>,
}

/// Where a request comes from.
pub(in crate::console) async fn door(
    State(console): State<Console>,
    request: Request,
    next: Next,
) -> Response {
    let config = console.config();
    let (headers, hosts) = (request.headers(), &config.console.hosts);
    let host = origin::host(headers);
    let answered = if !origin::is_ours(host, hosts) {
        let text = format!(
            "The console does not answer to the name {:?}. If it is one of its names, add it to \
                console.hosts in Outflow's configuration.",
            printable(host, 80)
        );
        answer::plain(StatusCode::MISDIRECTED_REQUEST, &text)
    } else if !request.method().is_safe() && !origin::is_own_page(headers, hosts) {
        answer::plain(
            StatusCode::FORBIDDEN,
            "This request was sent by a page of another site, so nothing was done. If the console \
                is behind a proxy, let the proxy pass on the Host header, or add the name that \
                browsers use to console.hosts.",
        )
    } else if request.method().is_safe() && origin::is_part_of_another(headers) {
        let text = "This page is not shown within pages of other sites.";
        answer::plain(StatusCode::FORBIDDEN, text)
    } else {
        next.run(request).await
    };
    answer::with_headers(answered)
}

/// Who sends a request, and whether they may.
pub(in crate::console) async fn guard(
    State(console): State<Console>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = peer(&request) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let config = console.config();
    let path = request.uri().path().to_owned();
    let touch = !path.ends_with(LIVE);
    let viewer =
        console.access().viewer(&config.console, request.headers(), peer, console.port(), touch);
    let Some(mut viewer) = viewer else { return stranger(&request) };
    let Some(place) = console.in_hand(&viewer) else { return busy(&viewer, &request) };
    if request.method().is_safe() {
        viewer.said = said(&console, &viewer, &request);
        request.extensions_mut().insert(viewer);
        // Whoever reloads a slow page again and again asks the servers no more than who waits.
        return console.look(until_answered(place, next.run(request))).await;
    }
    if request.method() != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if !viewer.may_operate() && path != LOG_OUT {
        let text = "Your role is read: you may look, and not act. Log in with a token whose role \
            is operate.";
        return answer::refused(&viewer, StatusCode::FORBIDDEN, text);
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        let text = "The form is larger than 64 KiB. Choose less at a time, or use a filter.";
        return answer::refused(&viewer, StatusCode::PAYLOAD_TOO_LARGE, text);
    };
    let form = serde_urlencoded::from_bytes::<Form>(&body);
    if !form.is_ok_and(|form| console.access().is_csrf_of(&viewer, &form.csrf)) {
        let text = "The form is not of this session, so nothing was done. It may be an old one: go \
            back, reload the page, and try again.";
        return answer::refused(&viewer, StatusCode::FORBIDDEN, text);
    }
    tracing::info!(
        user = printable(&viewer.name, 100),
        role = viewer.role.as_str(),
        path,
        "an action in the console"
    );
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(viewer);
    // What has begun is finished, whether or not the browser waits for it.
    console.finish(until_answered(place, next.run(request))).await
}

async fn until_answered(place: Place, answer: impl Future<Output = Response>) -> Response {
    let answer = answer.await;
    drop(place);
    answer
}

/// The pages that were asked for before are not made yet, whether or not somebody waits for them.
fn busy(viewer: &Viewer, request: &Request) -> Response {
    let text = "Too many pages that you have asked for are not ready yet. Nothing was done. Try \
        again in a few seconds.";
    let is_live = request.uri().path().ends_with(LIVE);
    let answer = if is_live {
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    } else {
        answer::refused(viewer, StatusCode::SERVICE_UNAVAILABLE, text)
    };
    ([(header::RETRY_AFTER, "5")], answer).into_response()
}

/// Nobody is known by what was sent.
fn stranger(request: &Request) -> Response {
    if request.uri().path().ends_with(LIVE) {
        let text = "You are not logged in, or your session has ended.";
        return answer::plain(StatusCode::UNAUTHORIZED, text);
    }
    if !request.method().is_safe() {
        return login::too_late(request.headers());
    }
    if origin::is_from_elsewhere(request.headers()) {
        return answer::again();
    }
    let next = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let answer = Redirect::to(&log_in(next)).into_response();
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

fn said(
    console: &Console,
    viewer: &Viewer,
    request: &Request,
) -> Option<crate::console::said::Said> {
    let query = serde_urlencoded::from_str::<Query>(request.uri().query()?).ok()?;
    console.said(viewer, &query.said?)
}
