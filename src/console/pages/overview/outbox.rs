//! One outbox: its state, figures, plots and members.

use maud::{Markup, html};

use super::plot;
use crate::console::access::Viewer;
use crate::console::layout::Section;
use crate::console::parts;
use crate::console::state::Console;
use crate::operate::status::{Member, OutboxStatus};

/// How it stands, in a word, and the class of its mark.
fn state(outbox: &OutboxStatus, is_known: bool) -> (&'static str, &'static str) {
    let is_paused = outbox.paused.iter().any(|paused| paused.pause.stream.is_none());
    let (active, idle): (Vec<&Member>, Vec<&Member>) =
        outbox.members.iter().partition(|member| member.standby.is_none());
    if !is_known || outbox.generation.is_none() {
        ("unknown", "unknown")
    } else if is_paused {
        ("paused", "note")
    } else if active.iter().any(|member| member.problem.is_some()) {
        ("in an outage", "bad")
    } else if active.is_empty() && idle.is_empty() {
        ("no relay", "bad")
    } else if active.is_empty() {
        ("on standby", "bad")
    } else if active.iter().any(|member| !member.holds.is_empty()) {
        ("waiting", "warning")
    } else if outbox.asleep {
        ("asleep", "good")
    } else {
        ("running", "good")
    }
}

pub(super) fn section(
    console: &Console,
    viewer: &Viewer,
    outbox: &OutboxStatus,
    is_known: bool,
) -> Markup {
    let (word, class) = state(outbox, is_known);
    let id = format!("outbox-{}", outbox.name);
    let is_paused = outbox.paused.iter().any(|paused| paused.pause.stream.is_none());
    html! {
        section.outbox aria-labelledby=(id) {
            div.title {
                h2 #(id) { (outbox.name) }
                span.state.(class) { (word) }
                @if viewer.may_operate() && is_known && !is_paused {
                    a.button.quiet href={ "/actions/pause?outbox=" (outbox.name) } { "Pause…" }
                }
            }
            p.hint { code { (outbox.table) } " → " code { (parts::shown(&outbox.stream)) } }
            (figures(outbox))
            (plot::plots(console, outbox))
            (members(outbox))
        }
    }
}

fn figures(outbox: &OutboxStatus) -> Markup {
    let unknown = || "unknown".to_owned();
    let more = if outbox.backlog_is_capped { "≥ " } else { "" };
    let backlog = outbox
        .backlog_events
        .map_or_else(unknown, |events| format!("{more}{}", parts::number(events)));
    let oldest = match (outbox.backlog_events, outbox.oldest_event_age_seconds) {
        (Some(0), _) => "none waits".to_owned(),
        (_, age) => age.map_or_else(unknown, parts::seconds),
    };
    let pace = outbox.events_per_second.map_or_else(unknown, |pace| format!("{pace:.1}/s"));
    let took = outbox.delivery_seconds.map_or_else(|| "–".to_owned(), parts::seconds);
    let dead: i64 = outbox.dead_letters.iter().map(|dead| dead.letters).sum();
    let kept = outbox.kept.as_ref().and_then(|kept| kept.rows_estimated);
    let href = format!("{}?outbox={}", Section::DeadLetters.path(), outbox.name);
    html! {
        dl.figures {
            div { dt { "Backlog" } dd { (backlog) } }
            div { dt { "Oldest event" } dd { (oldest) } }
            div { dt { "Delivered" } dd { (pace) } }
            div { dt { "Latency" } dd { (took) } }
            div { dt { "Parked streams" } dd {
                (outbox.parked.len() + outbox.parked_unnamed)
            } }
            div { dt { "Dead letters" } dd { a href=(href) { (parts::number(dead)) } } }
            @if let Some(rows) = kept {
                div { dt { "Kept rows" } dd { "about " (parts::number(rows)) } }
            }
        }
    }
}

fn members(outbox: &OutboxStatus) -> Markup {
    if outbox.members.is_empty() {
        let fills = "Each `outflow run` with this outbox is a line here.";
        return parts::empty("No relay is at work.", fills);
    }
    let columns = ["Relay", "Slots", "Where", "Version", "Since", "Delivers"];
    let rows: Vec<Vec<Markup>> = outbox.members.iter().map(member).collect();
    parts::table(&format!("Relays of {}", outbox.name), &columns, &rows)
}

fn member(member: &Member) -> Vec<Markup> {
    let Member { number, slots, host, pid, version, started_at, .. } = member;
    let delivers = match (&member.problem, &member.standby, member.holds.first()) {
        (Some(problem), ..) => format!("nothing: {}", problem.reason),
        (_, Some(standby), _) => format!("nothing, on standby: {}", standby.reason),
        (.., Some(hold)) => format!("nothing: {}", hold.why),
        _ => member.events_per_second.map_or_else(|| "–".to_owned(), |pace| format!("{pace:.1}/s")),
    };
    vec![
        html! { "#" (number) },
        html! { (slots) " of 64" },
        html! { (parts::shown(host)) ", process " (pid) },
        html! { (parts::shown(version)) },
        parts::time(*started_at),
        html! { (parts::shown(&delivers)) },
    ]
}
