//! Keeps `oldest_event_age_seconds`, `backlog_events` and `dead_letters` up to date, and the
//! member's report of itself, on a connection of its own and at a bounded cost. What cannot be
//! looked at is not known: NaN.
//!
//! A look starts where the last one found the first event, so that a dead prefix (rows that were
//! deleted while an old transaction is open) is not walked over each time. Now and then one starts
//! at the beginning, to find what was committed late.

mod line;
mod stuck;

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::observe::backlog::{BEGINNING, Backlog, CAP, Look, Place, Unordered};
use crate::observe::metrics::{Deliveries, OutboxMetrics, Report};
use crate::relay::options::{OutboxOptions, Settle};
use line::First;
use outflow_connect::postgres::connect;
use outflow_connect::postgres::{self, describe};
use stuck::Stuck;

/// Pause between two looks, at least.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Pause between two looks from the beginning, at least.
const FULL_PAUSE_MIN: Duration = Duration::from_secs(30);
/// A look that took t is followed by a pause of at least 50 t: 2 % of one core of Postgres, at
/// most.
const DUTY: u32 = 50;
/// A server that is silent for longer than its own limit for a statement is away. Connecting takes
/// several answers.
const SILENCE_MAX: Duration = Duration::from_secs(12);
/// A report that says the same is written again after this, as long as events are delivered: who
/// reads it sees that it is not an old one. An idle member writes nothing.
const REPORT_AGE_MAX: Duration = Duration::from_secs(10);
const REPORT: &str = include_str!("backlog_poller/report.sql");
/// Counted up to a limit, by the index. Needs to read the one column only.
const DEAD_LETTERS: &str =
    "select count(*) from (select from outflow.dead_letter where outbox = $1 limit $2) as counted";
/// Of a kept outbox letters stay when they were retried or discarded; and not all count yet.
const KEPT_DEAD_LETTERS: &str = "select count(*) from (select from outflow.dead_letter \
    where outbox = $1 and pending is null and retired_at is null limit $2) as counted";
/// As the relay's sessions plan, but with a limit of its own, and nobody has to wait for it.
const SESSION: &str =
    "set statement_timeout = '10s'; set lock_timeout = '1s'; set synchronous_commit = off;";

/// Polls until its task ends.
pub async fn keep(server: postgres::Server, outbox: OutboxOptions, metrics: OutboxMetrics) {
    let server = server.named("outflow gauge");
    let mut gauge = Gauge {
        pace: Pace::now(&metrics),
        metrics,
        position: BEGINNING,
        full: Instant::now(),
        first: None,
        unordered: Unordered::default(),
        stuck: Stuck::default(),
        reported: None,
        may_count_letters: true,
    };
    loop {
        let Err(reason) = gauge.watch(&server, &outbox).await;
        tracing::debug!(outbox = outbox.name, reason, "cannot measure the backlog: retrying");
        gauge.not_seen();
        tokio::time::sleep(PAUSE_MIN).await;
    }
}

struct Gauge {
    metrics: OutboxMetrics,
    /// Where the next look starts.
    position: Place,
    /// When the next look from the beginning is due.
    full: Instant,
    /// The first event in line, as the last look saw it.
    first: Option<First>,
    /// Those that have no place in the line, as the last look from the beginning saw them.
    unordered: Unordered,
    stuck: Stuck,
    pace: Pace,
    /// What was reported last: when, in which row.
    reported: Option<(Instant, i32, Report)>,
    /// Until Postgres says otherwise.
    may_count_letters: bool,
}

/// How many events had been delivered, and when.
struct Pace {
    at: Instant,
    delivered: u64,
    deliveries: Deliveries,
}

impl Pace {
    fn now(metrics: &OutboxMetrics) -> Self {
        let (delivered, deliveries) = (metrics.delivered(), metrics.deliveries());
        Self { at: Instant::now(), delivered, deliveries }
    }
}

impl Gauge {
    async fn watch(
        &mut self,
        server: &postgres::Server,
        outbox: &OutboxOptions,
    ) -> Result<std::convert::Infallible, String> {
        let client = answered(open(server)).await?;
        // What keeps events waiting is told whether or not the table can be looked at.
        answered(self.report(&client)).await?;
        let backlog = answered(Backlog::prepare(&client, outbox)).await?;
        loop {
            let started = Instant::now();
            answered(self.report(&client)).await?;
            answered(self.look(&backlog, &client)).await?;
            self.tell_stuck(outbox);
            answered(self.count_letters(&client, outbox)).await?;
            self.metrics.tell_deaths(false);
            tokio::time::sleep(PAUSE_MIN.max(started.elapsed() * DUTY)).await;
        }
    }

    async fn look(&mut self, backlog: &Backlog, client: &Client) -> Result<(), String> {
        let is_full = self.full <= Instant::now();
        let position = if is_full { BEGINNING } else { self.position };
        let started = Instant::now();
        let look = backlog.look(client, position).await;
        if is_full {
            self.unordered = backlog.unordered(client).await?;
            self.full = Instant::now() + FULL_PAUSE_MIN.max(started.elapsed() * DUTY);
        }
        self.seen(look?);
        Ok(())
    }

    async fn count_letters(
        &mut self,
        client: &Client,
        outbox: &OutboxOptions,
    ) -> Result<(), String> {
        if !self.may_count_letters {
            return Ok(());
        }
        let (count, columns) = match outbox.settle {
            Settle::Delete => (DEAD_LETTERS, "outbox"),
            Settle::Keep(_) => (KEPT_DEAD_LETTERS, "outbox, pending, retired_at"),
        };
        match client.query_typed(count, &[(&outbox.name, Type::TEXT), (&CAP, Type::INT8)]).await {
            Ok(rows) => {
                #[expect(clippy::cast_precision_loss, reason = "it is 100,000 at most")]
                let letters = rows.first().map(|row| row.get::<_, i64>(0) as f64);
                self.metrics.dead_letters(letters);
                Ok(())
            }
            // Roles of an earlier version may not.
            Err(error)
                if error.code()
                    == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) =>
            {
                self.may_count_letters = false;
                tracing::warn!(
                    outbox = outbox.name,
                    reason = describe(&error),
                    columns,
                    "cannot count dead letters, so outflow_dead_letters is NaN: run grants.sql \
                        again, or grant select on these columns of outflow.dead_letter to the \
                        relay's role"
                );
                Ok(())
            }
            Err(error) => Err(describe(&error)),
        }
    }

    /// Says how fast this member is, what keeps it from delivering and what it has parked, if that
    /// has changed.
    async fn report(&mut self, client: &Client) -> Result<(), String> {
        let now = Pace::now(&self.metrics);
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let since = now.delivered.saturating_sub(self.pace.delivered) as f64;
        let seconds = now.at.duration_since(self.pace.at).as_secs_f64().max(0.001);
        let took = now.deliveries.mean_since(self.pace.deliveries);
        self.metrics.paced(since / seconds, took);
        self.pace = now;
        let Some(seat) = self.metrics.seat() else { return Ok(()) };
        let report = self.metrics.report();
        let is_known = self.reported.as_ref().is_some_and(|(at, known_seat, known)| {
            let is_fresh = report.events_per_second == 0.0 || at.elapsed() < REPORT_AGE_MAX;
            *known_seat == seat && *known == report && is_fresh
        });
        if is_known {
            return Ok(());
        }
        let json = serde_json::to_value(&report).map_err(|error| error.to_string())?;
        client
            .execute_typed(REPORT, &[(&seat, Type::INT4), (&json, Type::JSONB)])
            .await
            .map_err(|error| describe(&error))?;
        self.reported = Some((self.pace.at, seat, report));
        Ok(())
    }

    fn seen(&mut self, look: Look) {
        self.position = look.position.unwrap_or(self.position);
        let first = First::next(self.first.take(), look.and(&self.unordered));
        #[expect(clippy::cast_precision_loss, reason = "it is 100,000 at most")]
        self.metrics.behind(Some(first.events as f64), Some(first.age()));
        self.metrics.first_in_line(first.named());
        self.first = Some(first);
    }

    fn tell_stuck(&mut self, outbox: &OutboxOptions) {
        let named = self.first.as_ref().and_then(First::named);
        // A pause explains it.
        let named = named.filter(|_| self.metrics.pauses().is_empty());
        self.stuck.tell(outbox, &self.unordered, named.as_ref(), &self.metrics.report());
    }

    /// What is not known is neither 0 nor what it was. The event that was first may be so
    /// afterwards too.
    fn not_seen(&self) {
        self.metrics.behind(None, None);
        self.metrics.dead_letters(None);
        self.metrics.tell_deaths(false);
    }
}

async fn open(server: &postgres::Server) -> Result<Client, String> {
    let client = connect(server).await.map_err(|fault| fault.to_string())?;
    client
        .batch_execute(&[postgres::SESSION, crate::relay::outbox::SESSION, SESSION].concat())
        .await
        .map_err(|error| describe(&error))?;
    Ok(client)
}

/// A server that is frozen must not keep old numbers alive.
async fn answered<T>(answer: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let silent = |_elapsed| format!("Postgres has not answered for {} s", SILENCE_MAX.as_secs());
    timeout(SILENCE_MAX, answer).await.map_err(silent)?
}
