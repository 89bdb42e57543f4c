//! The last word on a table: a claim as the relay makes it, rolled back.

use super::finding::{Findings, about, advice};
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::table::Table;
use crate::relay::outbox::{PgOutbox, SetAside};
use outflow_connect::postgres::Server;
use outflow_core::fault::FaultKind;

pub(super) async fn check(
    server: &Server,
    outbox: &OutboxOptions,
    table: Table,
    findings: &mut Findings,
) {
    let about = &about(outbox);
    let source = PgOutbox::new(outbox.clone(), table, &server.named("outflow check"), "check");
    let trial = match source.try_out().await {
        Ok(trial) => trial,
        Err(error) => {
            let what = format!("a claim fails: {error}");
            let remedy = "see to what the server says; the claim was made with the relay's own \
                statements and rolled back";
            return findings.wrong(FaultKind::Failed, about, what, advice(remedy));
        }
    };
    if trial.is_held_up {
        let what = "a claim was not tried: those of the relays at work have been open for seconds";
        return findings.warning(
            about,
            what,
            advice("see `outflow status` for what they wait for"),
        );
    }
    for aside in &trial.aside {
        if let SetAside::Held { event, words, alone: true, .. } = aside {
            let what = format!(
                "a claim fails: Postgres: {words}; it was for event {event}, and no other is \
                    granted"
            );
            let remedy = "see to what the server says; the claim was made with the relay's own \
                statements and rolled back";
            findings.wrong(FaultKind::Failed, about, what, advice(remedy));
            continue;
        }
        let (what, remedy) = set_aside(aside);
        findings.warning(about, what, advice(remedy));
    }
    if !trial.aside.is_empty() {
        return;
    }
    if trial.left > 0 {
        let what = format!(
            "a claim takes {} rows and leaves {} although nobody has locked them; without an \
                order value: {}",
            trial.taken, trial.left, trial.without_order
        );
        let remedy = "give each row a value in the order column (not null, above the lowest of \
            its type), and look for \
             triggers and rules that keep rows";
        return findings.error(about, what, advice(remedy));
    }
    if trial.locked > 0 {
        let what = format!(
            "{} rows are locked by other sessions: they are delivered when those let go",
            trial.locked
        );
        findings.warning(
            about,
            what,
            advice("see pg_locks, or `outflow status`, for who holds them"),
        );
    }
    findings.ok(
        about,
        format!("a claim takes what is there ({} rows tried, rolled back)", trial.taken),
    );
}

/// What a relay does with a row that cannot be delivered, and what an operator may do.
fn set_aside(aside: &SetAside) -> (String, &'static str) {
    match aside {
        SetAside::Dead { event, words, .. } => (
            format!(
                "event {event} cannot be delivered: {words}; a relay moves it to the dead letters"
            ),
            "mend the row now, or see `outflow dead list` afterwards",
        ),
        SetAside::Held { event, words, .. } => (
            format!(
                "event {event} cannot be taken: {words}; a relay holds it back with the later \
                    events of its key"
            ),
            "see to what the server says of it",
        ),
    }
}
