//! Replaying events of a kept outbox: counted first, then a job.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Form, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::Config;
use crate::console::access::Viewer;
use crate::console::addresses::{self, REPLAY};
use crate::console::answer::redirect;
use crate::console::asking::told;
use crate::console::confirm::{Confirm, confirm};
use crate::console::jobs::{Job, Jobs, Order};
use crate::console::layout::{self, Section};
use crate::console::link::link;
use crate::console::parts::{number, shown};
use crate::console::said::Said;
use crate::console::state::Console;
use crate::console::typed::{self, given, when};
use crate::operate::audit::Who;
use crate::operate::connect::{to_postgres, to_redis};
use crate::operate::pause::chosen;
use crate::operate::replay::{Replay, Request};
use crate::relay::outbox::kept::replay::{Extract, What};
use outflow_core::fault::Fault;

const NAME: &str = "outflow console";

/// Which events, and where to. Nothing is sent before both is known.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    outbox: String,
    since: String,
    until: String,
    from_id: String,
    stream: String,
    #[serde(rename = "type")]
    kind: String,
    key: String,
    /// The stream; empty: not chosen, unless `again` is set.
    to: String,
    /// Not empty: each event to its own stream.
    again: String,
    rate: String,
    restart: String,
    counted: String,
}

impl Asked {
    fn is_asked(&self) -> bool {
        !self.to.is_empty() || !self.again.is_empty()
    }

    fn request(&self) -> Result<Request, Fault> {
        if self.to.is_empty() == self.again.is_empty() {
            let what = "say where to send the events: to another stream, or each to its own";
            return Err(Fault::failed(what));
        }
        let rate = typed::number("rate", &self.rate)?;
        let bad = || Fault::failed(format!("rate: {:?} is not a rate of events", self.rate));
        let rate = rate.map(|rate| u32::try_from(rate).ok().filter(|rate| *rate > 0));
        Ok(Request {
            what: What {
                since: when("since", &self.since)?,
                until: when("until", &self.until)?,
                from_id: typed::number("from id", &self.from_id)?,
                stream: given(&self.stream),
                kind: given(&self.kind),
                key: given(&self.key),
            },
            to: given(&self.to),
            rate: rate.map(|rate| rate.ok_or_else(bad)).transpose()?,
            restart: !self.restart.is_empty(),
        })
    }

    /// The same, with times that stay what they are.
    fn fixed(&self, request: &Request) -> Self {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        let What { since, until, .. } = &request.what;
        Self { since: time(*since), until: time(*until), ..self.clone() }
    }

    fn fields(&self) -> [(&'static str, &str); 12] {
        [
            ("outbox", &self.outbox),
            ("since", &self.since),
            ("until", &self.until),
            ("from_id", &self.from_id),
            ("stream", &self.stream),
            ("type", &self.kind),
            ("key", &self.key),
            ("to", &self.to),
            ("again", &self.again),
            ("rate", &self.rate),
            ("restart", &self.restart),
            ("counted", &self.counted),
        ]
    }

    /// The address that counts the same replay once more, and goes on with it. A time that is
    /// relative to now would make it another one: these are fixed.
    fn again(&self) -> String {
        let same = Self { restart: String::new(), counted: String::new(), ..self.clone() };
        link(REPLAY, &same.fields())
    }

    fn target(&self) -> String {
        if self.to.is_empty() { "their own streams".to_owned() } else { shown(&self.to) }
    }
}

pub(super) async fn ask(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    if !asked.is_asked() {
        let body = html! { h1 { "Replay events of " (shown(&asked.outbox)) } (form(&asked)) };
        return layout::page(&viewer, "Replay", Section::Actions, &body);
    }
    let prepared = match asked.request() {
        Ok(_) if !viewer.may_operate() => {
            Err(Fault::failed("only the role operate may replay, and have events counted for it"))
        }
        Ok(request) => counted(&console, &asked, &request).await.map(|it| (request, it)),
        Err(fault) => Err(fault),
    };
    let (request, replay) = match prepared {
        Ok(prepared) => prepared,
        Err(fault) => {
            let body = html! {
                h1 { "Replay events of " (shown(&asked.outbox)) }
                (told("Nothing was sent", &fault))
                (form(&asked))
            };
            return layout::page(&viewer, "Replay", Section::Actions, &body);
        }
    };
    let events = replay.extract.events;
    let mut fixed = asked.fixed(&request);
    fixed.counted = events.to_string();
    let label = format!("Send {} events", number(events));
    let question = Confirm {
        question: &format!("{label} to {}?", asked.target()),
        consequences: consequences(&asked, &replay.extract, replay.is_resumed),
        action: REPLAY,
        fields: &fixed.fields(),
        label: &label,
        is_destructive: asked.to.is_empty(),
        back: &addresses::of_outbox(REPLAY, &asked.outbox, None),
    };
    confirm(&viewer, Section::Actions, &question)
}

fn form(asked: &Asked) -> Markup {
    let fields = [
        ("since", "Since", &asked.since),
        ("until", "Until", &asked.until),
        ("from_id", "From order value", &asked.from_id),
        ("stream", "Only of stream", &asked.stream),
        ("type", "Only of type", &asked.kind),
        ("key", "Only of key", &asked.key),
        ("to", "Send to stream", &asked.to),
        ("rate", "Events per second at most", &asked.rate),
    ];
    html! {
        form.filter method="get" action=(REPLAY) {
            input type="hidden" name="outbox" value=(asked.outbox);
            @for (name, label, value) in fields {
                label { (label) " " input type="text" name=(name) value=(value); }
            }
            label {
                input type="checkbox" name="again" value="1" checked[!asked.again.is_empty()];
                " each to its own stream: every consumer sees it twice"
            }
            label {
                input type="checkbox" name="restart" value="1" checked[!asked.restart.is_empty()];
                " begin anew, although the same replay was begun before"
            }
            button type="submit" { "Count first" }
        }
        p.hint {
            "Only events that were delivered and are still in the table are sent, in order, each \
             once however often the replay is stopped. Times: a duration ago such as 90m, or \
             2026-01-31T12:00:00Z."
        }
    }
}

fn consequences(asked: &Asked, extract: &Extract, is_resumed: bool) -> Markup {
    let time =
        |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| format!("{time:.0}"));
    html! {
        p { "From " (time(extract.first)) " to " (time(extract.last)) "." }
        @if asked.to.is_empty() {
            p.notice { "Every consumer of these streams sees the events once more." }
        }
        @if is_resumed {
            p.notice { "This replay was begun before, and goes on where it was." }
        }
        @if let Some(kept) = extract.kept_since {
            p.hint { "The table has events from " (time(Some(kept))) " on." }
        }
    }
}

/// Few at a time: a count reads all rows.
async fn counted(console: &Console, asked: &Asked, request: &Request) -> Result<Replay, Fault> {
    let _permit = console.searches().await?;
    prepare(&console.config(), asked, request).await
}

async fn prepare(config: &Config, asked: &Asked, request: &Request) -> Result<Replay, Fault> {
    let outbox = chosen(&config.outboxes, Some(&asked.outbox))?[0];
    let client = to_postgres(config, NAME).await?;
    let redis = to_redis(config, NAME).await?.waiting_for(config.wait_replicas);
    Replay::prepare(client, redis, outbox, request.clone()).await
}

pub(super) async fn replay(
    viewer: Viewer,
    State(console): State<Console>,
    Extension(jobs): Extension<Arc<Jobs>>,
    Form(asked): Form<Asked>,
) -> Response {
    let back = Section::Actions.path();
    let failed = |fault: &Fault| redirect(&console, &viewer, back, Said::failed(fault.to_string()));
    let request = match asked.request() {
        Ok(request) => request,
        Err(fault) => return failed(&fault),
    };
    let counted: u64 = asked.counted.parse().unwrap_or(0);
    let order = Order {
        what: format!("Replay events of {} to {}", shown(&asked.outbox), asked.target()),
        by: viewer.name.clone(),
        back: asked.again(),
        total: counted,
    };
    let (config, who) = (console.config(), Who::console(&viewer.name));
    let job = jobs.start(order, |job: Arc<Job>| async move {
        let replay = prepare(&config, &asked, &request).await?;
        let events = replay.extract.events.unsigned_abs();
        if events > counted {
            let what = format!("nothing was sent: there are {events} events now, not {counted}");
            return Err(Fault::failed(what).remedy("count again, or say until when"));
        }
        let sent = Box::pin(replay.run(&who, job.stop(), |sent| job.is_at(sent))).await?;
        // What was sent until then was sent; the same replay goes on from there.
        Ok(if job.stop().is_cancelled() && sent < events {
            format!("Stopped after {sent} events. The same replay goes on from there.")
        } else {
            format!("Sent {sent} events to {}.", asked.target())
        })
    });
    match job {
        Ok(job) => match job.soon().await {
            Some(said) => redirect(&console, &viewer, back, said),
            None => Redirect::to(&addresses::job(&job.id)).into_response(),
        },
        Err(fault) => failed(&fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is confirmed is what was counted, and what is gone on with later: the same to the
    /// nanosecond, because a replay is known by what it sends.
    #[test]
    fn a_relative_time_is_fixed_by_the_question() {
        let text = str::to_owned;
        let asked = Asked {
            outbox: text("orders"),
            since: text("1h"),
            until: text("1ms"),
            key: text("k&1"),
            to: text("again"),
            restart: text("1"),
            counted: text("7"),
            ..Asked::default()
        };
        let request = asked.request().expect("a request");
        let fixed = asked.fixed(&request);
        let confirmed = fixed.request().expect("a request");
        assert_eq!(confirmed.what, request.what);
        assert_ne!(asked.request().expect("a request").what, request.what, "later is another");
        let (_, query) = fixed.again().split_once('?').map(|(a, b)| (text(a), text(b))).expect("?");
        let again: Asked = serde_urlencoded::from_str(&query).expect("fields");
        let again = again.request().expect("a request");
        assert_eq!((again.what, again.to, again.restart), (request.what, request.to, false));
    }
}
