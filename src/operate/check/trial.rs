//! The last word on a table: a claim as the relay makes it, rolled back.

use super::finding::{Findings, about, advice};
use crate::relay::kept;
use crate::relay::options::{Keep, OutboxOptions};
use crate::relay::outbox::kept::trial::try_out;
use crate::relay::outbox::kept::unread;
use crate::relay::outbox::servers::Servers;
use crate::relay::outbox::table::Table;
use crate::relay::outbox::{PgOutbox, SESSION, SetAside};
use outflow_connect::postgres::{self, Server, describe, scoped};
use outflow_core::fault::FaultKind;
use tokio_postgres::Client;

const LIMITS: &str = "set statement_timeout = '10s'; set lock_timeout = '1s';";

pub(super) async fn check(
    server: &Server,
    outbox: &OutboxOptions,
    table: Table,
    findings: &mut Findings,
) {
    let about = &about(outbox);
    let server = server.named("outflow check");
    let servers = Servers { work: &server, control: None };
    let source = PgOutbox::new(outbox.clone(), table, servers, "check");
    let trial = match source.try_out().await {
        Ok(trial) => trial,
        Err(error) => {
            let what = format!("a claim fails: {error}");
            let remedy = "correct what the server's message names; the claim used the relay's own \
                statements and was rolled back";
            return findings.wrong(FaultKind::Failed, about, what, advice(remedy));
        }
    };
    if trial.is_held_up {
        let what = "no claim was tried, because claims of running relays have been open for \
            seconds";
        return findings.warning(
            about,
            what,
            advice("see `outflow status` for what they wait for"),
        );
    }
    for aside in &trial.aside {
        if let SetAside::Held { event, words, alone: true, .. } = aside {
            let what = format!(
                "a claim fails: Postgres: {words}; it asked for event {event}, and Postgres \
                    allows no other one"
            );
            let remedy = "correct what the server's message names; the claim used the relay's own \
                statements and was rolled back";
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
            "a claim takes {} rows and leaves {} rows that nobody has locked; rows without an \
                order value: {}",
            trial.taken, trial.left, trial.without_order
        );
        let remedy = "give each row a value in the order column (not null, above the lowest of \
            its type), and check triggers and rules that keep rows";
        return findings.error(about, what, advice(remedy));
    }
    if trial.locked > 0 {
        let what = format!(
            "other sessions have locked {} rows; the relay delivers them when the locks end",
            trial.locked
        );
        findings.warning(
            about,
            what,
            advice("see pg_locks, or `outflow status`, for who holds them"),
        );
    }
    findings.ok(about, format!("a claim works ({} rows tried and rolled back)", trial.taken));
}

/// The same for a kept outbox: a read, after which nothing is appended.
pub(super) async fn check_kept(
    client: &Client,
    outbox: &OutboxOptions,
    keep: &Keep,
    table: &kept::table::Table,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let about = &about(outbox);
    let begin = scoped::begin("read only", &[postgres::SESSION, SESSION, LIMITS].concat());
    let tried = async {
        match unread::copies(client, table.oid).await? {
            Ok(copies) => try_out(client, outbox, keep, table, &copies).await.map(Ok),
            Err(unreadable) => Ok(Err(unreadable)),
        }
    };
    let trial = match scoped::looking(client, &begin, tried).await? {
        Ok(Ok(trial)) => trial,
        Ok(Err(unreadable)) => {
            let remedy = format!("see `outflow position show --outbox {}`", outbox.name);
            findings.wrong(FaultKind::Failed, about, unreadable, advice(remedy));
            return Ok(());
        }
        Err(error) => {
            let what = format!("a read fails: Postgres: {}", describe(&error));
            let remedy = "correct what the server's message names; the read used the relay's own \
                statement";
            findings.wrong(FaultKind::Failed, about, what, advice(remedy));
            return Ok(());
        }
    };
    if let Some(bad) = &trial.bad {
        let what = format!("an event cannot be delivered: {bad}; a relay would dead-letter it");
        let remedy = "correct the row now, or see `outflow dead list` afterwards";
        findings.warning(about, what, advice(remedy));
        return Ok(());
    }
    let least = if trial.is_cut { "at least " } else { "" };
    findings.ok(
        about,
        format!("a read finds {least}{} unread rows (nothing was appended)", trial.rows),
    );
    Ok(())
}

/// What a relay does with a row that cannot be delivered, and what an operator may do.
fn set_aside(aside: &SetAside) -> (String, &'static str) {
    match aside {
        SetAside::Dead { event, words, .. } => (
            format!(
                "event {event} cannot be delivered: {words}; a relay moves it to the dead letters"
            ),
            "correct the row now, or see `outflow dead list` afterwards",
        ),
        SetAside::Held { event, words, .. } => (
            format!(
                "event {event} cannot be taken: {words}; a relay holds it back with the later \
                    events of its key"
            ),
            "correct what the server's message names",
        ),
    }
}
