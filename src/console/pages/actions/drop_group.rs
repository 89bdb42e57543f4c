//! Dropping a consumer group that nobody uses any more.

use axum::extract::{Form, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::access::Viewer;
use crate::console::addresses::{self, DROP_GROUP};
use crate::console::answer::redirect;
use crate::console::asking::{streams, told};
use crate::console::confirm::{Confirm, confirm};
use crate::console::layout::{self, Section};
use crate::console::parts::{number, shown};
use crate::console::said::Said;
use crate::console::state::Console;
use crate::operate::audit::Who;
use crate::operate::streams::{self as acts, ACTIVE, Dropped, Group};
use outflow_core::fault::Fault;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    name: String,
    group: String,
    /// As whoever confirms has seen them.
    pending: String,
    last: String,
}

pub(super) async fn ask(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let found = match streams(&console).await {
        Ok(streams) => acts::group_of(&streams, &asked.name, &asked.group, ACTIVE).await,
        Err(fault) => Err(fault),
    };
    let group = match found {
        Ok(group) => group,
        Err(fault) => return unknown(&viewer, &told("Redis", &fault)),
    };
    if let Some(consumer) = group.active.first() {
        return unknown(&viewer, &told("Not now", &acts::in_use(&group, &shown(consumer))));
    }
    let pending = group.report.pending.to_string();
    let fields = [
        ("name", asked.name.as_str()),
        ("group", &asked.group),
        ("pending", &pending),
        ("last", &group.report.last_delivered_id),
    ];
    let question = Confirm {
        question: &format!("Drop group {} of {}?", shown(&asked.group), shown(&asked.name)),
        consequences: consequences(&group),
        action: DROP_GROUP,
        fields: &fields,
        label: "Drop the group",
        is_destructive: true,
        back: &addresses::group(&asked.name, &asked.group),
    };
    confirm(&viewer, Section::Streams, &question)
}

fn unknown(viewer: &Viewer, why: &Markup) -> Response {
    let body = html! { h1 { "Drop a group" } (why) };
    layout::page(viewer, "Drop a group", Section::Streams, &body)
}

fn consequences(group: &Group) -> Markup {
    let report = &group.report;
    html! {
        ul {
            li { strong { (number(report.pending)) } " pending entries are never handled." }
            li {
                strong { (report.lag.map_or_else(|| "An unknown number".to_owned(), number)) }
                " entries were not read yet by it."
            }
            li { (report.consumers.len()) " consumers, none of them active." }
        }
        @if report.may_wait_unseen() { p.notice { (acts::UNSEEN) } }
        p {
            "A consumer that comes back makes the group anew, from where its own settings say. It \
             cannot be undone."
        }
    }
}

pub(super) async fn act(
    viewer: Viewer,
    State(console): State<Console>,
    Form(asked): Form<Asked>,
) -> Response {
    let (to, said) = match dropped(&viewer, &console, &asked).await {
        Ok(pending) => {
            let (group, name) = (shown(&asked.group), shown(&asked.name));
            let text = format!(
                "Dropped group {group} of {name}, with {} pending entries.",
                number(pending)
            );
            (addresses::stream(&asked.name), Said::done(text))
        }
        Err(fault) => {
            let back = addresses::group(&asked.name, &asked.group);
            (back, Said::failed(fault.to_string()))
        }
    };
    redirect(&console, &viewer, &to, said)
}

/// The pending entries that went with it.
async fn dropped(viewer: &Viewer, console: &Console, asked: &Asked) -> Result<i64, Fault> {
    let config = console.config();
    acts::is_ours(&config, &asked.name)?;
    let streams = streams(console).await?;
    let mut group = acts::group_of(&streams, &asked.name, &asked.group, ACTIVE).await?;
    // What was confirmed counts: if it is another now, nothing is done.
    group.report.pending = asked.pending.parse().unwrap_or(-1);
    group.report.last_delivered_id.clone_from(&asked.last);
    let session = console.postgres().await?;
    let outbox = acts::writer(&config, &asked.name);
    let who = Who::console(&viewer.name);
    let outcome = acts::drop_group(&streams, &session, &who, outbox, &group, ACTIVE).await?;
    session.done();
    match outcome {
        Dropped::Yes(pending) => Ok(pending),
        not => Err(acts::not_dropped(&group, &not)),
    }
}
