//! What is paused and parked now, and everything that can be done.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use crate::config::Config;
use crate::console::access::Viewer;
use crate::console::addresses::{PAUSE, REPLAY, RESUME, RETRY_PARKED, of_outbox};
use crate::console::asking::{looking, told};
use crate::console::jobs::Jobs;
use crate::console::layout::{self, Section};
use crate::console::pages::jobs::at_work;
use crate::console::parts::{empty, shown, table};
use crate::console::state::Console;
use crate::operate::pause::{self, PauseOf};
use crate::operate::status::Parked;
use crate::relay::options::{OutboxOptions, Settle};
use outflow_core::fault::Fault;

pub(super) async fn page(
    viewer: Viewer,
    State(console): State<Console>,
    Extension(jobs): Extension<Arc<Jobs>>,
) -> Response {
    let config = console.config();
    let paused = paused(&console, &config).await;
    let parked = parked(&console).await;
    let body = html! {
        h1 { "Actions" }
        @if !viewer.may_operate() {
            p.notice { "Your role is read: you may look, and not act." }
        }
        (at_work(&jobs))
        h2 { "Outboxes" }
        @match &paused {
            Ok(paused) => {
                (outboxes(&viewer, &config, paused))
                (streams(&viewer, paused))
            }
            Err(fault) => (told("Postgres", fault)),
        }
        @if viewer.may_operate() { (pause_stream(&config)) }
        h2 { "Parked streams" }
        (parked_streams(&viewer, &parked))
        h2 { "Replay" }
        (replay(&viewer, &config))
    };
    layout::page(&viewer, "Actions", Section::Actions, &body)
}

async fn paused(console: &Console, config: &Config) -> Result<Vec<PauseOf>, Fault> {
    let outboxes: Vec<&OutboxOptions> = config.outboxes.iter().collect();
    looking(console, async |client| {
        let targets = pause::targets(client, &outboxes).await?;
        pause::current(client, &targets.unwrap_or_default()).await
    })
    .await
}

/// As the relays have said: the outbox, and the stream.
async fn parked(console: &Console) -> Vec<(String, Parked)> {
    let Some(seen) = console.now().await else { return Vec::new() };
    let of = |outbox: &crate::operate::status::OutboxStatus| {
        let name = outbox.name.clone();
        outbox.parked.iter().map(move |parked| (name.clone(), parked.clone())).collect::<Vec<_>>()
    };
    seen.status.outboxes.iter().flat_map(of).collect()
}

fn outboxes(viewer: &Viewer, config: &Config, paused: &[PauseOf]) -> Markup {
    let row = |outbox: &OutboxOptions| {
        let name = &outbox.name;
        let is_of = |one: &&PauseOf| one.outbox == *name && one.pause.stream.is_none();
        let pause = paused.iter().find(is_of).map(|one| &one.pause);
        vec![
            html! { (shown(name)) },
            html! {
                @match pause {
                    Some(pause) => { "paused " (shown(&pause.to_string())) }
                    None => { "not paused" }
                }
            },
            html! {
                @if viewer.may_operate() {
                    @if pause.is_some() {
                        a href=(of_outbox(RESUME, name, None)) { "Resume…" } " "
                    }
                    a href=(of_outbox(PAUSE, name, None)) {
                        (if pause.is_some() { "Change the pause…" } else { "Pause…" })
                    }
                }
            },
        ]
    };
    let rows: Vec<Vec<Markup>> = config.outboxes.iter().map(row).collect();
    table("Outboxes", &["Outbox", "State", "Actions"], &rows)
}

fn streams(viewer: &Viewer, paused: &[PauseOf]) -> Markup {
    let row = |one: &PauseOf| {
        let stream = one.pause.stream.as_ref()?;
        Some(vec![
            html! { (shown(stream)) },
            html! { (shown(&one.outbox)) },
            html! { (shown(&one.pause.to_string())) },
            html! {
                @if viewer.may_operate() {
                    a href=(of_outbox(RESUME, &one.outbox, Some(stream))) { "Resume…" }
                }
            },
        ])
    };
    let rows: Vec<Vec<Markup>> = paused.iter().filter_map(row).collect();
    html! {
        @if !rows.is_empty() {
            (table("Paused streams", &["Stream", "Outbox", "Paused", "Actions"], &rows))
        }
    }
}

fn pause_stream(config: &Config) -> Markup {
    html! {
        form.filter method="get" action=(PAUSE) {
            label { "Pause one stream of "
                select name="outbox" {
                    @for outbox in &config.outboxes {
                        option value=(outbox.name) { (shown(&outbox.name)) }
                    }
                }
            }
            label { "Stream " input type="text" name="stream" required; }
            button type="submit" { "Pause…" }
        }
    }
}

fn parked_streams(viewer: &Viewer, parked: &[(String, Parked)]) -> Markup {
    if parked.is_empty() {
        return empty(
            "No relay says that it has parked a stream.",
            "A relay parks a stream that refuses its events, and goes on with the others.",
        );
    }
    let row = |(outbox, parked): &(String, Parked)| {
        let stream = &parked.stream;
        vec![
            html! { (shown(&stream.stream)) },
            html! { (shown(outbox)) },
            html! { (shown(&stream.reason)) },
            html! { (parked.events.map_or_else(|| "?".to_owned(), |events| events.to_string())) },
            html! {
                @if viewer.may_operate() {
                    a href=(of_outbox(RETRY_PARKED, outbox, Some(&stream.stream))) { "Retry now…" }
                }
            },
        ]
    };
    let rows: Vec<Vec<Markup>> = parked.iter().map(row).collect();
    table("Parked streams", &["Stream", "Outbox", "Why", "Events waiting", "Actions"], &rows)
}

fn replay(viewer: &Viewer, config: &Config) -> Markup {
    let is_kept = |outbox: &&OutboxOptions| matches!(outbox.settle, Settle::Keep(_));
    let kept: Vec<&OutboxOptions> = config.outboxes.iter().filter(is_kept).collect();
    if kept.is_empty() {
        return empty(
            "No outbox keeps its delivered events.",
            "With settle = \"keep\", events can be sent once more: see docs/keeping.md.",
        );
    }
    html! {
        ul {
            @for outbox in kept {
                li {
                    (shown(&outbox.name))
                    @if viewer.may_operate() {
                        " " a href=(of_outbox(REPLAY, &outbox.name, None)) { "Replay…" }
                    }
                }
            }
        }
    }
}
