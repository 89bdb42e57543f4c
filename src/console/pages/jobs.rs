//! Jobs: how far they are, what came of them, and a way to stop one. The browser itself asks again
//! every second for the page of a job that is at work, without a script.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::access::Viewer;
use crate::console::addresses::{self, JOB, STOP};
use crate::console::answer::redirect;
use crate::console::form;
use crate::console::jobs::{Job, Jobs};
use crate::console::layout::{self, Section};
use crate::console::parts::{empty, number, shown, time};
use crate::console::said::Said;
use crate::console::state::Console;

/// Seconds until the browser asks again.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    id: String,
}

pub(super) fn routes() -> Router<Console> {
    Router::new().route(JOB, get(page)).route(STOP, post(stop))
}

/// The jobs at work, and those that have ended lately.
pub(super) fn at_work(jobs: &Jobs) -> Markup {
    let all = jobs.all();
    let at_work: Vec<&Arc<Job>> = all.iter().filter(|job| job.outcome().is_none()).collect();
    html! {
        @if !at_work.is_empty() {
            section aria-label="Jobs at work" {
                @for job in at_work {
                    p.notice {
                        "At work: " a href=(addresses::job(&job.id)) { (shown(&job.what)) }
                        ", for " (shown(&job.by)) ", " (count(job.done())) " of "
                        (count(job.total))
                    }
                }
            }
        }
    }
}

async fn page(
    viewer: Viewer,
    Extension(jobs): Extension<Arc<Jobs>>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(job) = jobs.get(&asked.id) else {
        let body = html! {
            h1 { "Job" }
            (empty(
                "There is no such job.",
                "The console remembers the last 50 jobs, until it is started again. The audit says \
                 what was done.",
            ))
        };
        return layout::page(&viewer, "Job", Section::None, &body);
    };
    let outcome = job.outcome();
    let body = view(&viewer, &job, outcome.as_ref());
    let mut answer = layout::page(&viewer, "Job", Section::None, &body);
    if outcome.is_none() {
        answer.headers_mut().insert(HeaderName::from_static("refresh"), AGAIN);
    }
    answer
}

fn view(viewer: &Viewer, job: &Job, outcome: Option<&Said>) -> Markup {
    let (done, total) = (job.done(), job.total.max(1));
    html! {
        h1 { (shown(&job.what)) }
        p { "Begun " (time(job.since)) ", for " (shown(&job.by)) "." }
        @match outcome {
            None => {
                p {
                    progress value=(done.min(total)) max=(total) aria-label=(shown(&job.what)) {}
                    " " (count(done)) " of " (count(job.total))
                }
                (form::button(viewer, "Stop", STOP, &[("id", &job.id)]))
            }
            Some(said) => {
                p.notice.(if said.is_done { "good" } else { "bad" }) role="status" {
                    @if said.is_done || viewer.may_operate() {
                        (shown(&said.text))
                    } @else {
                        // The words of a server may quote what it refused.
                        "It failed. The role operate sees why."
                    }
                }
            }
        }
        p { a href=(job.back) { "Back" } }
    }
}

async fn stop(
    viewer: Viewer,
    State(console): State<Console>,
    Extension(jobs): Extension<Arc<Jobs>>,
    Form(asked): Form<Asked>,
) -> Response {
    let said = match jobs.get(&asked.id) {
        Some(job) if job.outcome().is_none() => {
            job.stop().cancel();
            let _ = job.soon().await;
            Said::done("It was told to stop. What was done until then stays done.")
        }
        Some(_) => Said::failed("It had ended already."),
        None => Said::failed("There is no such job."),
    };
    redirect(&console, &viewer, &addresses::job(&asked.id), said)
}

fn count(count: u64) -> String {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}
