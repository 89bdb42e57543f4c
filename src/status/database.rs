//! What Postgres knows of the outboxes.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use super::{DeadLetters, Member, OutboxStatus};
use crate::backlog::{BEGINNING, Backlog, CAP};
use crate::config::{Config, OutboxConfig};
use crate::daemon::connect;
use crate::metrics::{ParkedStream, Report};
use crate::outbox::lock;
use crate::postgres::{self, describe, scoped};

/// Plans as the relay does; a look at a table with many dead rows is cut short.
const SESSION: &str =
    concat!(include_str!("../outbox/sql/session.sql"), "set statement_timeout = '10s'; set lock_timeout = '1s';");

/// A member writes its pace every ten seconds at the latest, while it has one.
const PACE_AGE_MAX: SignedDuration = SignedDuration::from_secs(20);

/// Fills in what is known; an error means that nothing is.
pub(super) async fn ask(config: &Config, outboxes: &mut [OutboxStatus]) -> Result<(), String> {
    let server =
        postgres::server(&config.postgres, "outflow status").map_err(|error| format!("postgres.url: {error}"))?;
    let client = connect(&server).await.map_err(|error| error.reason().to_owned())?;
    // Each part in a transaction of its own: one that fails ends no other, and nothing is left in the session.
    let begin = scoped::begin("read only", SESSION);
    let lost = |error: tokio_postgres::Error| describe(&error);
    for (outbox, status) in config.outboxes.iter().zip(outboxes) {
        let backlog = scoped::looking(&client, &begin, backlog(&client, outbox, status)).await.map_err(lost)?;
        let members = scoped::looking(&client, &begin, members(&client, outbox, status)).await.map_err(lost)?;
        let dead = scoped::looking(&client, &begin, dead_letters(&client, outbox, status)).await.map_err(lost)?;
        let parts = [
            backlog.map_err(|reason| format!("backlog: {reason}")),
            members.map_err(|reason| format!("members: {reason}")),
            dead.map_err(|reason| format!("dead letters: {reason}")),
        ];
        status.problems.extend(parts.into_iter().filter_map(Result::err));
    }
    Ok(())
}

async fn backlog(client: &Client, outbox: &OutboxConfig, status: &mut OutboxStatus) -> Result<(), String> {
    let backlog = Backlog::prepare(client, outbox).await?;
    let look = backlog.look(client, BEGINNING).await.map_err(|error| describe(&error))?;
    status.backlog_events = Some(look.events);
    status.backlog_is_capped = look.events >= CAP;
    let age = look.oldest.map(|time| Timestamp::now().duration_since(time).as_secs_f64().max(0.0));
    status.oldest_event_age_seconds = if look.events == 0 { Some(0.0) } else { age };
    Ok(())
}

async fn members(client: &Client, outbox: &OutboxConfig, status: &mut OutboxStatus) -> Result<(), String> {
    let names = [outbox.table.schema(), outbox.table.table()];
    let rows = client.query(include_str!("sql/outbox.sql"), &[&names[0], &names[1], &lock::SEAT]).await;
    let rows = rows.map_err(|error| described(&error))?;
    let first = rows.first().ok_or_else(|| format!("{} is not registered; run `outflow migrate`", outbox.table))?;
    status.generation = first.get("generation");
    for row in &rows {
        let Some(number) = row.get("number") else { continue };
        let said = row.get::<_, Option<Value>>("report").and_then(said);
        let events_per_second = said.as_ref().and_then(Said::pace);
        let sum = events_per_second.map(|pace| status.events_per_second.unwrap_or(0.0) + pace);
        status.events_per_second = sum.or(status.events_per_second);
        said.into_iter().flat_map(|said| said.report.parked).for_each(|parked| merge(&mut status.parked, parked));
        status.members.push(Member {
            number,
            slots: row.get("slots"),
            host: row.get("host"),
            pid: row.get("pid"),
            version: row.get("version"),
            started_at: row.get("started_at"),
            events_per_second,
        });
    }
    Ok(())
}

/// A member's report, and when it was written.
#[derive(Deserialize)]
struct Said {
    at: Timestamp,
    #[serde(flatten)]
    report: Report,
}

impl Said {
    /// A pace is said again every few seconds, except that nothing moves.
    fn pace(&self) -> Option<f64> {
        let pace = self.report.events_per_second;
        let is_fresh = Timestamp::now().duration_since(self.at) < PACE_AGE_MAX;
        (is_fresh || pace == 0.0).then_some(pace)
    }
}

/// One of another version is nothing that is known here.
fn said(report: Value) -> Option<Said> {
    serde_json::from_value(report).ok()
}

/// Several members may have met the same refusal: since the first, tried again by the next.
fn merge(known: &mut Vec<ParkedStream>, parked: ParkedStream) {
    match known.iter_mut().find(|known| known.stream == parked.stream) {
        None => known.push(parked),
        Some(known) => {
            known.since = known.since.min(parked.since);
            known.next_probe = known.next_probe.min(parked.next_probe);
        }
    }
}

async fn dead_letters(client: &Client, outbox: &OutboxConfig, status: &mut OutboxStatus) -> Result<(), String> {
    let rows = client.query(include_str!("sql/dead.sql"), &[&outbox.name]).await;
    let letters = |row: &tokio_postgres::Row| DeadLetters {
        reason: row.get("reason"),
        letters: row.get("letters"),
        last_died_at: row.get("last_died_at"),
    };
    status.dead_letters = rows.map_err(|error| described(&error))?.iter().map(letters).collect();
    Ok(())
}

/// With the remedy for what an administrator's own role may lack.
fn described(error: &tokio_postgres::Error) -> String {
    let reason = describe(error);
    match error.code().map(tokio_postgres::error::SqlState::code) {
        Some("42P01" | "3F000") => format!("{reason}: run `outflow migrate`"),
        Some("42501") => format!(
            "{reason}: run: grant usage on schema outflow to ROLE; grant select on all tables in schema outflow to ROLE;"
        ),
        _ => reason,
    }
}
