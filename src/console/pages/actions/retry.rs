//! Trying a parked stream now.

use axum::extract::{Form, Query, State};
use axum::response::Response;
use maud::html;
use serde::Deserialize;

use crate::console::access::Viewer;
use crate::console::addresses::RETRY_PARKED;
use crate::console::answer::redirect;
use crate::console::confirm::{Confirm, confirm};
use crate::console::layout::Section;
use crate::console::parts::{number, shown, time};
use crate::console::said::Said;
use crate::console::state::Console;
use crate::operate::audit::Who;
use crate::operate::{parked, pause};
use outflow_core::fault::Fault;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    outbox: String,
    stream: String,
}

pub(super) async fn ask(
    viewer: Viewer,
    State(console): State<Console>,
    Query(asked): Query<Asked>,
) -> Response {
    let seen = console.now().await;
    let outboxes = seen.iter().flat_map(|seen| &seen.status.outboxes);
    let of_outbox = outboxes.filter(|outbox| outbox.name == asked.outbox);
    let parked = of_outbox
        .flat_map(|outbox| &outbox.parked)
        .find(|parked| parked.stream.stream == asked.stream);
    let fields = [("outbox", asked.outbox.as_str()), ("stream", asked.stream.as_str())];
    let question = Confirm {
        question: &format!("Retry stream {} now?", shown(&asked.stream)),
        consequences: html! {
            @match parked {
                Some(parked) => {
                    p { "It refuses its events: " (shown(&parked.stream.reason)) }
                    @if let Some(events) = parked.events {
                        p { (number(events)) " events wait for it." }
                    }
                    p { "The relay tries it by itself at " (time(parked.stream.next_probe)) "." }
                }
                None => p.notice { "No relay says that it has parked this stream." },
            }
            p { "The relay appends one event. If the stream takes it, the others follow." }
        },
        action: RETRY_PARKED,
        fields: &fields,
        label: "Retry now",
        is_destructive: false,
        back: Section::Actions.path(),
    };
    confirm(&viewer, Section::Actions, &question)
}

pub(super) async fn retry(
    viewer: Viewer,
    State(console): State<Console>,
    Form(asked): Form<Asked>,
) -> Response {
    let said = match tried(&viewer, &console, &asked).await {
        Ok(()) => Said::done(format!("The relays try stream {} now.", shown(&asked.stream))),
        Err(fault) => Said::failed(fault.to_string()),
    };
    redirect(&console, &viewer, Section::Actions.path(), said)
}

async fn tried(viewer: &Viewer, console: &Console, asked: &Asked) -> Result<(), Fault> {
    let config = console.config();
    let outboxes = pause::chosen(&config.outboxes, Some(&asked.outbox))?;
    let writers = pause::given::stream(&outboxes, &asked.stream, &[])?;
    let session = console.postgres().await?;
    let targets = pause::registered(&session, &writers).await?;
    let who = Who::console(&viewer.name);
    parked::try_now(&session, &targets, &asked.stream, &who).await?;
    session.done();
    Ok(())
}
