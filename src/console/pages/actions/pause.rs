//! Pausing and resuming an outbox, or one stream of it.

use std::time::Duration;

use axum::extract::{Form, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::Config;
use crate::console::access::Viewer;
use crate::console::addresses::{PAUSE, RESUME};
use crate::console::answer::redirect;
use crate::console::asking::{looking, told};
use crate::console::confirm::{Confirm, confirm};
use crate::console::form::{csrf, hidden};
use crate::console::layout::{self, Section};
use crate::console::parts::{number, shown};
use crate::console::said::Said;
use crate::console::state::Console;
use crate::operate::audit::Who;
use crate::operate::pause::{
    self as acts, Outcome, PAUSES_MAX, PauseOf, Request, WHY_CHARS_MAX, given,
};
use outflow_core::fault::Fault;

/// What is to be paused or resumed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    outbox: String,
    stream: String,
    why: String,
    /// For how long, such as `30m`; empty: until somebody resumes it.
    length: String,
}

impl Asked {
    fn stream(&self) -> Option<&str> {
        Some(self.stream.as_str()).filter(|stream| !stream.is_empty())
    }

    fn name(&self) -> String {
        match self.stream() {
            Some(stream) => format!("stream {} of {}", shown(stream), shown(&self.outbox)),
            None => format!("outbox {}", shown(&self.outbox)),
        }
    }

    fn request(&self) -> Result<Request, Fault> {
        let why = given::reason(&self.why).map_err(|bad| Fault::failed(format!("why: {bad}")))?;
        let length = match self.length.trim() {
            "" => None,
            text => Some(
                given::length(text).map_err(|bad| Fault::failed(format!("for how long: {bad}")))?,
            ),
        };
        Ok(Request { stream: self.stream().map(str::to_owned), why, length })
    }
}

pub(super) async fn ask_pause(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let question = format!("Pause {}?", asked.name());
    let fields = [("outbox", asked.outbox.as_str()), ("stream", asked.stream.as_str())];
    let body = html! {
        h1 { (question) }
        div.consequences {
            p {
                "Its relays deliver nothing of it until it is resumed. They finish what is in \
                 flight. Events wait in their table, and the order stays."
            }
            (waiting(&console, &asked).await)
        }
        @if viewer.may_operate() {
            form.confirm method="post" action=(PAUSE) {
                (csrf(&viewer)) (hidden(&fields))
                label { "Why, for whoever finds it paused "
                    input type="text" name="why" required maxlength=(WHY_CHARS_MAX);
                }
                label { "For how long, such as 30m; empty: until somebody resumes it "
                    input type="text" name="length" value=(asked.length);
                }
                button.primary type="submit" { "Pause" }
                a.button href=(Section::Actions.path()) { "Cancel" }
            }
        } @else {
            p.notice { "Your role is read: you may look, and not act." }
        }
    };
    layout::page(&viewer, &question, Section::Actions, &body)
}

/// How many events wait now.
async fn waiting(console: &Console, asked: &Asked) -> Markup {
    let seen = console.now().await;
    let outboxes = seen.iter().flat_map(|seen| &seen.status.outboxes);
    let mut of_outbox = outboxes.filter(|outbox| outbox.name == asked.outbox);
    let events = of_outbox.find_map(|outbox| outbox.backlog_events);
    html! {
        @if let Some(events) = events {
            p { (number(events)) " events of the outbox wait now, and more will." }
        }
    }
}

pub(super) async fn ask_resume(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let config = console.config();
    let paused = match acts::chosen(&config.outboxes, Some(&asked.outbox)) {
        Ok(outboxes) => {
            looking(&console, async |client| {
                let targets = acts::targets(client, &outboxes).await?;
                acts::current(client, &targets.unwrap_or_default()).await
            })
            .await
        }
        Err(fault) => Err(fault),
    };
    let paused = match paused {
        Ok(paused) => paused,
        Err(fault) => {
            let body = html! { h1 { "Resume" } (told("Postgres", &fault)) };
            return layout::page(&viewer, "Resume", Section::Actions, &body);
        }
    };
    let is_meant = |one: &&PauseOf| one.pause.stream.as_deref() == asked.stream();
    let pause = paused.iter().find(is_meant).map(|one| shown(&one.pause.to_string()));
    let fields = [("outbox", asked.outbox.as_str()), ("stream", asked.stream.as_str())];
    let asked = Confirm {
        question: &format!("Resume {}?", asked.name()),
        consequences: html! {
            @match pause {
                Some(pause) => p { "It is paused " (pause) },
                None => p.notice { "It is not paused any more." },
            }
            (waiting(&console, &asked).await)
        },
        action: RESUME,
        fields: &fields,
        label: "Resume",
        is_destructive: false,
        back: Section::Actions.path(),
    };
    confirm(&viewer, Section::Actions, &asked)
}

pub(super) async fn pause(
    viewer: Viewer,
    State(console): State<Console>,
    Form(asked): Form<Asked>,
) -> Response {
    let said = match paused(&viewer, &console, &asked).await {
        Ok(said) => said,
        Err(fault) => Said::failed(fault.to_string()),
    };
    redirect(&console, &viewer, Section::Actions.path(), said)
}

async fn paused(viewer: &Viewer, console: &Console, asked: &Asked) -> Result<Said, Fault> {
    let request = asked.request()?;
    let config = console.config();
    let outboxes = writers(&config, asked)?;
    let session = console.postgres().await?;
    let targets = acts::registered(&session, &outboxes).await?;
    let who = Who::console(&viewer.name);
    let outcomes = acts::pause(&session, &targets, &request, &who).await.map_err(acts::refused)?;
    session.done();
    let too_many = outcomes.iter().any(|outcome| matches!(outcome, Outcome::TooMany(_)));
    if too_many {
        let what = format!("{} has {PAUSES_MAX} pauses already", shown(&asked.outbox));
        return Err(Fault::failed(what).remedy("pause the whole outbox, or resume streams"));
    }
    let until = request.length.map_or_else(String::new, told_length);
    Ok(Said::done(format!("Paused {}{until}.", asked.name())))
}

fn told_length(length: Duration) -> String {
    format!(" for {}", humantime::format_duration(length))
}

pub(super) async fn resume(
    viewer: Viewer,
    State(console): State<Console>,
    Form(asked): Form<Asked>,
) -> Response {
    let said = match resumed(&viewer, &console, &asked).await {
        Ok(true) => Said::done(format!("Resumed {}.", asked.name())),
        Ok(false) => Said::failed(format!("{} was not paused.", asked.name())),
        Err(fault) => Said::failed(fault.to_string()),
    };
    redirect(&console, &viewer, Section::Actions.path(), said)
}

/// Whether it was paused.
async fn resumed(viewer: &Viewer, console: &Console, asked: &Asked) -> Result<bool, Fault> {
    let config = console.config();
    let outboxes = acts::chosen(&config.outboxes, Some(&asked.outbox))?;
    let session = console.postgres().await?;
    let targets = acts::registered(&session, &outboxes).await?;
    let who = Who::console(&viewer.name);
    let gone = acts::resume(&session, &targets, asked.stream(), &who).await;
    let gone = gone.map_err(acts::refused)?;
    session.done();
    Ok(gone.iter().any(|(_, is_over)| !is_over))
}

/// The outbox, if a row of it can have the stream.
fn writers<'a>(
    config: &'a Config,
    asked: &Asked,
) -> Result<Vec<&'a crate::relay::options::OutboxOptions>, Fault> {
    let outboxes = acts::chosen(&config.outboxes, Some(&asked.outbox))?;
    let Some(stream) = asked.stream() else { return Ok(outboxes) };
    given::stream(&outboxes, stream, &[])
}
