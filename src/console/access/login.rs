//! Logging in and out.

use std::time::Duration;

use axum::Form;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;
use url::{Position, Url};

use super::paths::{LOG_IN, inside};
use super::proxy::peer;
use super::{Refused, Viewer, cookie, proxy};
use crate::console::layout;
use crate::console::state::Console;

/// What the page is asked with, and what its form has.
#[derive(Deserialize)]
pub(in crate::console) struct Asked {
    /// Where to go then.
    #[serde(default)]
    next: String,
    #[serde(default)]
    token: String,
}

/// The page.
pub(in crate::console) async fn page(Query(asked): Query<Asked>) -> Response {
    form(StatusCode::OK, &asked.next, None)
}

/// Its form.
pub(in crate::console) async fn submit(
    State(console): State<Console>,
    request: Request,
) -> Response {
    let Some(peer) = peer(&request) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let config = console.config();
    let from = proxy::client(&config.console, request.headers(), peer);
    let is_secure = proxy::is_secure(&config.console, request.headers(), peer);
    let before = cookie::session(request.headers(), console.port(), is_secure).map(str::to_owned);
    let Ok(Form(asked)) = Form::<Asked>::from_request(request, &()).await else {
        return form(StatusCode::BAD_REQUEST, "", Some("The form cannot be read. Try again."));
    };
    let token = asked.token.trim();
    match console.access().log_in(&config.console, token, from, before.as_deref()) {
        Ok((id, name)) => {
            tracing::info!(token = name, %from, "logged in to the console");
            let age_max = config.console.session_max;
            let cookie = cookie::begin(&id, console.port(), is_secure, age_max);
            ([(header::SET_COOKIE, cookie)], Redirect::to(inside(&asked.next))).into_response()
        }
        Err(Refused::Unknown) => {
            tracing::warn!(%from, "a log-in to the console with an unknown token");
            let text = "This token is not known. Its file may have been changed.";
            form(StatusCode::FORBIDDEN, &asked.next, Some(text))
        }
        Err(Refused::Wait(wait)) => {
            let seconds = wait.max(Duration::from_secs(1)).as_secs_f64().ceil();
            let text = format!("There were too many attempts. Try again in {seconds:.0} s.");
            let page = form(StatusCode::TOO_MANY_REQUESTS, &asked.next, Some(&text));
            ([(header::RETRY_AFTER, format!("{seconds:.0}"))], page).into_response()
        }
        Err(Refused::Failed(fault)) => {
            tracing::error!(%fault, "cannot begin a session");
            let text = format!("The console cannot begin a session: {fault}.");
            form(StatusCode::INTERNAL_SERVER_ERROR, &asked.next, Some(&text))
        }
    }
}

/// The guard has made sure that it is a form of theirs.
pub(in crate::console) async fn leave(
    State(console): State<Console>,
    viewer: Viewer,
    request: Request,
) -> Response {
    console.access().log_out(&viewer);
    let config = console.config();
    let is_secure = peer(&request)
        .is_some_and(|peer| proxy::is_secure(&config.console, request.headers(), peer));
    let cookie = cookie::end(console.port(), is_secure);
    ([(header::SET_COOKIE, cookie)], Redirect::to(LOG_IN)).into_response()
}

/// For a form that was sent when its session had ended: how to get back to the page that it is on.
pub(super) fn too_late(headers: &HeaderMap) -> Response {
    let page = headers.get(header::REFERER).and_then(|page| Url::parse(page.to_str().ok()?).ok());
    let next = page.as_ref().map_or("", |page| &page[Position::BeforePath..Position::AfterQuery]);
    let text = "You are not logged in, or your session has ended. Nothing was done. Log in, and \
        try again.";
    form(StatusCode::UNAUTHORIZED, next, Some(text))
}

fn form(status: StatusCode, next: &str, problem: Option<&str>) -> Response {
    let body = html! {
        h1 { "Log in" }
        @if let Some(problem) = problem {
            p.notice.bad role="alert" { (problem) }
        }
        form.login method="post" action=(LOG_IN) {
            input type="hidden" name="next" value=(inside(next));
            label for="token" { "Token" }
            input #token type="password" name="token" required autofocus
                autocomplete="current-password" spellcheck="false" maxlength="4096";
            p.hint {
                "It is in one of the files that "
                code { "console.tokens" }
                " in Outflow's configuration names."
            }
            button.primary type="submit" { "Log in" }
        }
    };
    (status, layout::bare("Log in", &body)).into_response()
}
