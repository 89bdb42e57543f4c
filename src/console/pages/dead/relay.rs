//! Retrying and discarding the relay's dead letters: counted and asked about first, then a job.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::response::Response;
use axum::{Extension, response::IntoResponse as _, response::Redirect};
use maud::{Markup, html};

use super::filter::Asked;
use super::words::{outcome, question, said};
use crate::console::access::Viewer;
use crate::console::addresses::{DISCARD, LETTERS, RETRY};
use crate::console::answer::redirect;
use crate::console::asking::{counting, told};
use crate::console::confirm::{Confirm, confirm};
use crate::console::jobs::{Jobs, Order};
use crate::console::layout::{self, Section};
use crate::console::parts::{number, shown};
use crate::console::said::Said;
use crate::console::state::Console;
use crate::operate::audit::Who;
use crate::operate::connect::{failed, to_postgres};
use crate::operate::dead_letters::{self, Act, Count, Filter};
use outflow_core::fault::Fault;

pub(super) async fn ask_retry(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    ask(&viewer, &console, &asked, Act::Retry).await
}

pub(super) async fn ask_discard(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    ask(&viewer, &console, &asked, Act::Discard).await
}

pub(super) async fn retry(
    viewer: Viewer,
    State(console): State<Console>,
    Extension(jobs): Extension<Arc<Jobs>>,
    Form(asked): Form<Asked>,
) -> Response {
    act(&viewer, &console, &jobs, &asked, Act::Retry).await
}

pub(super) async fn discard(
    viewer: Viewer,
    State(console): State<Console>,
    Extension(jobs): Extension<Arc<Jobs>>,
    Form(asked): Form<Asked>,
) -> Response {
    act(&viewer, &console, &jobs, &asked, Act::Discard).await
}

async fn ask(viewer: &Viewer, console: &Console, asked: &Asked, act: Act) -> Response {
    let (filter, count) = match counted(console, asked).await {
        Ok(counted) => counted,
        Err(fault) => {
            let body = html! { h1 { "Dead letters" } (told("Postgres", &fault)) };
            return layout::page(viewer, "Dead letters", Section::DeadLetters, &body);
        }
    };
    let back = asked.at(LETTERS, &[]);
    let mut fields = asked.fields(&filter);
    fields.push(("last", count.last.unwrap_or_default().to_string()));
    fields.push(("counted", count.letters.to_string()));
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let label = question(act, count.letters);
    let path = if act == Act::Retry { RETRY } else { DISCARD };
    let asked = Confirm {
        question: &format!("{label}?"),
        consequences: consequences(act, &count),
        action: path,
        fields: &fields,
        label: &label,
        is_destructive: act == Act::Discard,
        back: &back,
    };
    confirm(viewer, Section::DeadLetters, &asked)
}

async fn counted(console: &Console, asked: &Asked) -> Result<(Filter, Count), Fault> {
    let filter = asked.filter()?;
    let count = counting(console, async |client| dead_letters::count(client, &filter).await);
    let count = count.await?;
    Ok((filter, count))
}

fn consequences(act: Act, count: &Count) -> Markup {
    html! {
        @match act {
            Act::Retry => p {
                "The events are inserted into their table again, in their order. They are \
                 appended after newer events with the same key. If the cause is not mended, they \
                 become dead letters again."
            },
            Act::Discard => p { "The events are deleted for good. Nothing can bring them back." },
        }
        ul {
            @for (outbox, reason, letters) in &count.of {
                li { (shown(outbox)) ": " (number(*letters)) " × " (shown(reason)) }
            }
        }
        p.hint { "Dead letters that come from now on are not touched." }
    }
}

async fn act(viewer: &Viewer, console: &Console, jobs: &Jobs, asked: &Asked, act: Act) -> Response {
    let back =
        asked.at(if asked.id.is_empty() { LETTERS } else { Section::DeadLetters.path() }, &[]);
    let filter = match asked.filter() {
        // What was not counted was not asked about.
        Ok(filter) if filter.last.is_none() => {
            Err(Fault::failed("the form says nothing of how many"))
        }
        other => other,
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(fault) => return redirect(console, viewer, &back, Said::failed(fault.to_string())),
    };
    let counted = asked.counted.parse().unwrap_or(0);
    let order = Order {
        what: question(act, counted),
        by: viewer.name.clone(),
        back: back.clone(),
        total: counted.unsigned_abs(),
    };
    let (config, who) = (console.config(), Who::console(&viewer.name));
    let job = jobs.start(order, |job| async move {
        let mut client = to_postgres(&config, "outflow console").await?;
        let (stop, at) = (job.stop(), |done| job.is_at(done));
        // Letters that were being written while the others were counted may be among them now.
        let now = dead_letters::count(&client, &filter).await.map_err(failed)?.letters;
        if now > counted {
            let what = format!("nothing was done: there are {now} dead letters now, not {counted}");
            return Err(Fault::failed(what).remedy("count again"));
        }
        let done = dead_letters::many(&mut client, &config, act, &who, &filter, stop, at).await?;
        Ok(said(act, done, stop.is_cancelled()))
    });
    let job = match job {
        Ok(job) => job,
        Err(fault) => return redirect(console, viewer, &back, Said::failed(fault.to_string())),
    };
    match outcome(&job).await {
        Ok(said) => redirect(console, viewer, &back, said),
        Err(page) => Redirect::to(&page).into_response(),
    }
}
