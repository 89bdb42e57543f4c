//! Answers that are no pages of their own, and the headers of every answer.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{DOCTYPE, PreEscaped, html};

use super::access::Viewer;
use super::layout::{self, Section};
use super::said::Said;
use super::state::Console;

/// No script and no style but the files of ours, no request to any other host, nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; \
    base-uri 'none'";

/// `same-origin` and not `no-referrer`: with the latter, browsers send `Origin: null` with forms.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The answer with the headers that each has. Only assets are kept by browsers.
pub(super) fn with_headers(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

/// A page of one sentence, for who is not known.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    let body = html! {
        h1 { (status.canonical_reason().unwrap_or("Refused")) }
        p { (text) }
        p { a href="/" { "Go to the overview" } }
    };
    (status, layout::bare("Refused", &body)).into_response()
}

/// A page that says why something was not done.
pub(super) fn refused(viewer: &Viewer, status: StatusCode, text: &str) -> Response {
    let body = html! {
        h1 { "Nothing was done" }
        p.notice.bad role="alert" { (text) }
    };
    (status, layout::page(viewer, "Refused", Section::None, &body)).into_response()
}

/// Asks the browser to ask again by itself: it keeps the cookie of a session back when another
/// site's link leads here.
pub(super) fn again() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0";
                title { "Outflow" }
            }
            body { p { a href="" { "Continue" } } }
        }
    };
    let PreEscaped(page) = page;
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// Sends the browser to a page of ours, which shows what came of the action.
pub(super) fn redirect(console: &Console, viewer: &Viewer, to: &str, said: Said) -> Response {
    let Some(id) = console.say(viewer, said) else { return Redirect::to(to).into_response() };
    let joint = if to.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{to}{joint}said={id}")).into_response()
}
