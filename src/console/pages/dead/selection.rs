//! Which dead letters of consumers are meant; retrying and discarding them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::words::{outcome, question, said};
use crate::console::access::Viewer;
use crate::console::addresses::{STREAM_DISCARD, STREAM_RETRY, dead_of};
use crate::console::answer::redirect;
use crate::console::asking::{streams, told};
use crate::console::confirm::{Confirm, confirm};
use crate::console::contents::may_search;
use crate::console::jobs::{Job, Jobs, Order};
use crate::console::layout::{self, Section};
use crate::console::link::link;
use crate::console::parts::{number, shown};
use crate::console::said::Said;
use crate::console::state::Console;
use crate::console::typed::given;
use crate::operate::audit::Who;
use crate::operate::connect::to_postgres;
use crate::operate::dead_letters::Act;
use crate::operate::streams::{self as acts, Counted, DeadGroup, Seen, Selection, Streams};
use outflow_consumer::EntryId;
use outflow_core::fault::Fault;

/// Fields of an address, or of a form; empty ones do not filter.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// The stream that the letters came from.
    pub(super) name: String,
    pub(super) id: String,
    /// Not empty: of these three, an empty one is meant as it is.
    pub(super) exact: String,
    pub(super) group: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) reason: String,
    /// The letter behind which a page begins.
    pub(super) before: String,
    /// The last letter that was counted, and how many were.
    pub(super) last: String,
    pub(super) counted: String,
}

impl Asked {
    /// What a group has in common.
    pub(super) fn of_group(stream: &str, group: &DeadGroup) -> Self {
        Self {
            name: stream.to_owned(),
            exact: "1".to_owned(),
            group: group.group.clone(),
            kind: group.kind.clone(),
            reason: group.reason.clone().unwrap_or_default(),
            ..Self::default()
        }
    }

    /// # Errors
    /// The viewer may not select by errors.
    pub(super) fn selection(&self, viewer: &Viewer) -> Result<Selection, Fault> {
        let exact = |text: &String| {
            if self.exact.is_empty() { given(text) } else { Some(text.clone()) }
        };
        let reason = if viewer.sees_payloads { exact(&self.reason) } else { given(&self.reason) };
        if reason.is_some() {
            may_search(viewer, "errors")?;
        }
        Ok(Selection {
            id: given(&self.id),
            group: exact(&self.group),
            kind: exact(&self.kind),
            reason,
            last: given(&self.last),
        })
    }

    fn fields(&self) -> [(&'static str, &str); 6] {
        [
            ("name", &self.name),
            ("id", &self.id),
            ("exact", &self.exact),
            ("group", &self.group),
            ("type", &self.kind),
            ("reason", &self.reason),
        ]
    }

    /// `path` with this choice.
    pub(super) fn at(&self, path: &str, more: &[(&str, &str)]) -> String {
        link(path, &[&self.fields()[..], more].concat())
    }
}

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
    let count = match counted(viewer, console, asked).await {
        Ok(count) => count,
        Err(fault) => {
            let body = html! { h1 { "Dead letters" } (told("Redis", &fault)) };
            return layout::page(viewer, "Dead letters", Section::DeadLetters, &body);
        }
    };
    let (letters, last) = (count.letters.to_string(), count.last.clone().unwrap_or_default());
    let more = [("last", last.as_str()), ("counted", letters.as_str())];
    let label = question(act, i64::try_from(count.letters).unwrap_or(i64::MAX));
    let asked = Confirm {
        question: &format!("{label}?"),
        consequences: consequences(act, asked, &count),
        action: if act == Act::Retry { STREAM_RETRY } else { STREAM_DISCARD },
        fields: &[&asked.fields()[..], &more].concat(),
        label: &label,
        is_destructive: act == Act::Discard,
        back: &dead_of(&asked.name),
    };
    confirm(viewer, Section::DeadLetters, &asked)
}

async fn counted(viewer: &Viewer, console: &Console, asked: &Asked) -> Result<Counted, Fault> {
    let selection = asked.selection(viewer)?;
    streams(console).await?.dead_count(&asked.name, &selection).await
}

fn consequences(act: Act, asked: &Asked, count: &Counted) -> Markup {
    let chosen = [("group", &asked.group), ("type", &asked.kind), ("error", &asked.reason)];
    html! {
        @match act {
            Act::Retry => p {
                "The entries are appended to the end of " (shown(&asked.name)) ", for all its \
                 groups: also behind newer entries with the same key. A group that has handled the \
                 event already gets it once more."
            },
            Act::Discard => p { "The entries are deleted for good." },
        }
        ul {
            li { "stream: " (shown(&asked.name)) }
            @for (name, value) in chosen {
                @if !value.is_empty() { li { (name) ": " (shown(value)) } }
            }
        }
        @if count.seen != Seen::All {
            p.notice {
                "There are at least " (count.letters) ": counting all of them takes too long."
            }
        }
        p.hint { "Dead letters that come from now on are not touched." }
    }
}

async fn act(viewer: &Viewer, console: &Console, jobs: &Jobs, asked: &Asked, act: Act) -> Response {
    let back = dead_of(&asked.name);
    let failed = |fault: &Fault| redirect(console, viewer, &back, Said::failed(fault.to_string()));
    if asked.last.parse::<EntryId>().is_err() {
        return failed(&Fault::failed("nothing was done: there was no dead letter"));
    }
    if let Err(fault) = acts::is_ours(&console.config(), &asked.name) {
        return failed(&fault);
    }
    let selection = match asked.selection(viewer) {
        Ok(selection) => selection,
        Err(fault) => return failed(&fault),
    };
    let streams = match streams(console).await {
        Ok(streams) => streams,
        Err(fault) => return failed(&fault),
    };
    let counted: u64 = asked.counted.parse().unwrap_or(0);
    let order = Order {
        what: question(act, i64::try_from(counted).unwrap_or(i64::MAX)),
        by: viewer.name.clone(),
        back: back.clone(),
        total: counted,
    };
    let work = {
        let (config, who, asked) = (console.config(), Who::console(&viewer.name), asked.clone());
        move |job: Arc<Job>| async move {
            let client = to_postgres(&config, "outflow console").await?;
            let place = (acts::writer(&config, &asked.name), asked.name.as_str());
            let which = (&selection, usize::try_from(counted).unwrap_or(usize::MAX));
            run(&streams, &client, &who, act, place, which, &job).await
        }
    };
    match jobs.start(order, work) {
        Ok(job) => match outcome(&job).await {
            Ok(said) => redirect(console, viewer, &back, said),
            Err(page) => Redirect::to(&page).into_response(),
        },
        Err(fault) => failed(&fault),
    }
}

async fn run(
    streams: &Streams,
    client: &tokio_postgres::Client,
    who: &Who,
    act: Act,
    place: (&str, &str),
    which: (&Selection, usize),
    job: &Job,
) -> Result<String, Fault> {
    let told = |progress: acts::Progress| job.is_at(progress.done + progress.not_done);
    let done = acts::act(streams, client, who, act, place, which, job.stop(), told).await?;
    let words = said(act, done.done, job.stop().is_cancelled());
    Ok(match done.not_done {
        0 => words,
        not => format!(
            "{words} {} were not: they were gone already, or only their beginning was kept.",
            number(i64::try_from(not).unwrap_or(i64::MAX))
        ),
    })
}
