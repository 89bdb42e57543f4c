//! What Postgres knows of the outboxes.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use super::causes;
use super::kept;
use super::report::{DeadLetters, Member, OutboxStatus, Parked, Paused};
use crate::config::Config;
use crate::observe::backlog::{BEGINNING, Backlog, CAP, Look, Unordered};
use crate::observe::metrics::{FirstInLine, ParkedStream, Problem, Report};
use crate::operate::{members, pause};
use crate::relay::options::OutboxOptions;
use outflow_connect::postgres::{self, describe, scoped};
use outflow_core::age::Age;
use outflow_core::table_name::quote_identifier;

/// Plans as the relay does; a look at a table with many dead rows is cut short.
const SESSION: &str = "set statement_timeout = '10s'; set lock_timeout = '1s';";

/// A member writes its pace every ten seconds at the latest, while it has one.
const PACE_AGE_MAX: SignedDuration = SignedDuration::from_secs(20);

/// Fills in what is known; an error means that nothing is.
pub(super) async fn ask(
    config: &Config,
    client: &Client,
    outboxes: &mut [OutboxStatus],
) -> Result<(), String> {
    // Each part in a transaction of its own: one that fails ends no other, and nothing is left in
    // the session.
    let begin = scoped::begin(
        "read only",
        &[postgres::SESSION, crate::relay::outbox::SESSION, SESSION].concat(),
    );
    let grantee = format!(" to {}", quote_identifier(&config.postgres.user()));
    let lost = |error: tokio_postgres::Error| describe(&error);
    for (outbox, status) in config.outboxes.iter().zip(outboxes) {
        let (mut first, mut stuck) = (Vec::new(), Vec::new());
        let members =
            scoped::looking(client, &begin, members(client, outbox, status, &mut first)).await;
        let members = members.map_err(lost)?;
        let paused = scoped::looking(client, &begin, paused(client, outbox, status)).await;
        let paused = paused.map_err(lost)?;
        let backlog = backlog(client, outbox, status, &first, &mut stuck);
        let backlog = scoped::looking(client, &begin, backlog).await.map_err(lost)?;
        let dead = scoped::looking(client, &begin, dead_letters(client, outbox, status))
            .await
            .map_err(lost)?;
        let kept = scoped::looking(client, &begin, kept::ask(client, outbox, status)).await;
        let kept = kept.map_err(lost)?;
        let parts = [
            kept.map_err(|error| format!("what is kept: {}", described(&error))),
            members.map_err(|reason| format!("members: {reason}")),
            paused.map_err(|reason| format!("pauses: {reason}")),
            backlog.map_err(|reason| format!("backlog: {reason}")),
            dead.map_err(|reason| format!("dead letters: {reason}")),
        ];
        status.problems.extend(
            parts
                .into_iter()
                .filter_map(Result::err)
                .map(|reason| reason.replace(" to ROLE", &grantee)),
        );
        status.causes = causes::of(status);
        if status.causes.is_empty() {
            // For a role that may not look there is no such cause.
            let holder = scoped::looking(client, &begin, holder(client, outbox, status))
                .await
                .map_err(lost)?;
            status.causes.extend(holder.ok().flatten());
        }
        let moves = status.events_per_second.is_some_and(|pace| pace > 0.0);
        if status.causes.is_empty() && !moves {
            status.causes.extend(stuck);
        }
    }
    Ok(())
}

async fn backlog(
    client: &Client,
    outbox: &OutboxOptions,
    status: &mut OutboxStatus,
    first: &[FirstInLine],
    stuck: &mut Vec<String>,
) -> Result<(), String> {
    let backlog = Backlog::prepare(client, outbox).await?;
    let look = backlog.look(client, BEGINNING).await?;
    let unordered = backlog.unordered(client).await?;
    let look = look.and(&unordered);
    stuck.extend(stays_behind(outbox, &look, &unordered, first));
    status.backlog_events = Some(look.events);
    status.backlog_is_capped = look.events >= CAP;
    status.oldest_event_age_seconds = age(&look, first);
    status.parked_events = Some(0);
    let parked = status.parked.iter().map(|parked| parked.stream.stream.clone());
    let paused = status.paused.iter().filter_map(|paused| paused.pause.stream.clone());
    let streams: Vec<String> = parked.chain(paused).collect();
    if streams.is_empty() {
        return Ok(());
    }
    let counts = backlog
        .parked(client, &streams)
        .await
        .map_err(|reason| format!("parked streams: {reason}"))?;
    let count = |stream: &String| counts.get(stream).copied().unwrap_or(0);
    for parked in &mut status.parked {
        parked.events = Some(count(&parked.stream.stream));
    }
    for paused in &mut status.paused {
        paused.events = paused.pause.stream.as_ref().map(count);
    }
    status.parked_events = Some(status.parked.iter().filter_map(|parked| parked.events).sum());
    Ok(())
}

/// Of events that wait although every relay is well.
fn stays_behind(
    outbox: &OutboxOptions,
    look: &Look,
    unordered: &Unordered,
    first: &[FirstInLine],
) -> Option<String> {
    if let Some(row) = &unordered.first {
        let (events, column) = (unordered.events, &outbox.columns.order);
        return Some(format!(
            "{events} events (row {row} …) have no value in the order column {column:?}, and no \
                claim comes to them; give \
             them one"
        ));
    }
    let same = first.iter().filter(|first| Some(&first.row) == look.first.as_ref());
    same.min_by_key(|first| first.since).map(|FirstInLine { row, since }| {
        format!(
            "row {row} has been first in line since {since:.0}, and no relay takes it: a trigger \
                or a rule may keep it; \
             `outflow check` looks for the cause"
        )
    })
}

/// By the event's own time if that is plausible, and by how long a relay has seen it first in line.
fn age(look: &Look, first: &[FirstInLine]) -> Option<f64> {
    if look.events == 0 {
        return Some(0.0);
    }
    let now = Timestamp::now();
    let told = look.oldest.and_then(|time| Age::of(time, now).seconds());
    let same = first.iter().filter(|first| Some(&first.row) == look.first.as_ref());
    let seen = same.map(|first| now.duration_since(first.since).as_secs_f64().max(0.0));
    told.into_iter().chain(seen).reduce(f64::max)
}

/// Whoever has locked rows of the table for long, if events wait and none is delivered.
async fn holder(
    client: &Client,
    outbox: &OutboxOptions,
    status: &OutboxStatus,
) -> Result<Option<String>, String> {
    let moves = status.events_per_second.is_some_and(|pace| pace > 0.0);
    if moves || status.backlog_events == Some(0) {
        return Ok(None);
    }
    let names = [outbox.table.schema(), outbox.table.table()];
    let rows = client.query(include_str!("sql/holder.sql"), &[&names[0], &names[1]]).await;
    let rows = rows.map_err(|error| describe(&error))?;
    Ok(rows.first().map(|row| {
        let pid: i32 = row.get("pid");
        let application: Option<String> = row.get("application");
        let state: Option<String> = row.get("state");
        let age = row.get::<_, Option<f64>>("seconds").map(|seconds| {
            format!(
                ", for {seconds:.0} \
            s"
            )
        });
        format!(
            "process {pid} of Postgres ({}, {}) holds locks on {}{}: events in its transaction \
                wait for its end",
            application
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "no application name".to_owned()),
            state.unwrap_or_else(|| "unknown state".to_owned()),
            outbox.table,
            age.unwrap_or_default(),
        )
    }))
}

async fn members(
    client: &Client,
    outbox: &OutboxOptions,
    status: &mut OutboxStatus,
    first: &mut Vec<FirstInLine>,
) -> Result<(), String> {
    let rows = members::of(client, &outbox.table).await.map_err(|error| described(&error))?;
    let one = rows
        .first()
        .ok_or_else(|| format!("{} is not registered; run `outflow migrate`", outbox.table))?;
    status.generation = one.get("generation");
    status.asleep = one.get("asleep");
    let mut took = Took::default();
    for row in &rows {
        let Some(number) = row.get("number") else { continue };
        let said = row.get::<_, Option<Value>>("report").and_then(said);
        let events_per_second = said.as_ref().and_then(Said::pace);
        let sum = events_per_second.map(|pace| status.events_per_second.unwrap_or(0.0) + pace);
        status.events_per_second = sum.or(status.events_per_second);
        let report = said.map(|said| said.report).unwrap_or_default();
        took.add(events_per_second, report.delivery_seconds);
        status.parked_unnamed = status.parked_unnamed.max(report.parked_unnamed);
        report.parked.into_iter().for_each(|parked| merge(&mut status.parked, parked));
        first.extend(report.first_in_line);
        status.notes.extend(report.notes);
        status.retention.extend(report.retention);
        if let Some(problem) = report.look_problem {
            let Problem { reason, since } = problem;
            status
                .problems
                .push(format!("streams, as relay #{number} says since {since:.0}: {reason}"));
        }
        status.members.push(Member {
            number,
            slots: row.get("slots"),
            host: row.get("host"),
            pid: row.get("pid"),
            version: row.get("version"),
            started_at: row.get("started_at"),
            events_per_second,
            problem: report.problem,
            standby: report.standby,
            holds: report.holds,
        });
    }
    status.delivery_seconds = took.mean();
    Ok(())
}

/// How long deliveries take, over several members.
#[derive(Default)]
struct Took {
    seconds: f64,
    events: f64,
}

impl Took {
    fn add(&mut self, events_per_second: Option<f64>, seconds: Option<f64>) {
        let Some((events, seconds)) = events_per_second.zip(seconds) else { return };
        self.seconds += events * seconds;
        self.events += events;
    }

    fn mean(&self) -> Option<f64> {
        (self.events > 0.0).then(|| self.seconds / self.events)
    }
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
fn merge(known: &mut Vec<Parked>, parked: ParkedStream) {
    match known
        .iter_mut()
        .map(|known| &mut known.stream)
        .find(|known| known.stream == parked.stream)
    {
        None => known.push(Parked { stream: parked, events: None }),
        Some(known) => {
            known.since = known.since.min(parked.since);
            known.next_probe = known.next_probe.min(parked.next_probe);
        }
    }
}

async fn paused(
    client: &Client,
    outbox: &OutboxOptions,
    status: &mut OutboxStatus,
) -> Result<(), String> {
    // One that is not registered is told of with the members.
    let targets = pause::targets(client, &[outbox]).await.map_err(|error| described(&error))?;
    let current = pause::current(client, &targets.unwrap_or_default()).await;
    let paused = |of: pause::PauseOf| Paused { pause: of.pause, events: None };
    status.paused = current.map_err(|error| described(&error))?.into_iter().map(paused).collect();
    Ok(())
}

async fn dead_letters(
    client: &Client,
    outbox: &OutboxOptions,
    status: &mut OutboxStatus,
) -> Result<(), String> {
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
            "{reason}: run: grant usage on schema outflow to ROLE; grant select on all tables in \
                schema outflow to ROLE;"
        ),
        _ => reason,
    }
}
