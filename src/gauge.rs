//! Keeps `oldest_event_age_seconds` and `backlog_events` up to date, and the member's report of itself, on a connection of
//! its own and at a bounded cost.
//!
//! A look starts where the last one found the first event, so that a dead prefix (rows that were deleted while an old
//! transaction is open) is not walked over each time. Now and then one starts at the beginning, to find what was
//! committed late.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::backlog::{BEGINNING, Backlog, Look};
use crate::config::OutboxConfig;
use crate::daemon::connect;
use crate::metrics::{OutboxMetrics, Report};
use crate::postgres::{self, describe};

/// Pause between two looks, at least.
const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Pause between two looks from the beginning, at least.
const FULL_PAUSE_MIN: Duration = Duration::from_secs(30);
/// A look that took t is followed by a pause of at least 50 t: 2 % of one core of Postgres, at most.
const DUTY: u32 = 50;
/// A report that says the same is written again after this, as long as events are delivered: who reads it sees that it
/// is not an old one. An idle member writes nothing.
const REPORT_AGE_MAX: Duration = Duration::from_secs(10);
/// The row is the member's own: nobody waits for it. Not durable at once, since the next one follows.
const REPORT: &str =
    "update outflow.member set report = $2::jsonb || jsonb_build_object('at', clock_timestamp()) where number = $1";
/// As the relay's sessions plan, but with a limit of its own, and nobody has to wait for it.
const SESSION: &str = concat!(
    include_str!("outbox/sql/session.sql"),
    "set statement_timeout = '10s'; set lock_timeout = '1s'; set synchronous_commit = off;"
);

/// Looks for ever; ends with its task.
pub async fn keep(server: postgres::Server, outbox: OutboxConfig, metrics: OutboxMetrics) {
    let server = server.named("outflow gauge");
    let mut gauge = Gauge {
        pace: Pace { at: Instant::now(), delivered: metrics.delivered() },
        metrics,
        position: BEGINNING,
        full: Instant::now(),
        first: None,
        reported: None,
    };
    loop {
        let Err(reason) = gauge.watch(&server, &outbox).await;
        tracing::debug!(outbox = outbox.name, reason, "the backlog cannot be looked at now");
        gauge.not_seen();
        tokio::time::sleep(PAUSE_MIN).await;
    }
}

struct Gauge {
    metrics: OutboxMetrics,
    /// Where the next look starts.
    position: i64,
    /// When the next look from the beginning is due.
    full: Instant,
    /// The first event in line, as the last look saw it.
    first: Option<First>,
    pace: Pace,
    /// What was reported last: when, in which row.
    reported: Option<(Instant, i32, Report)>,
}

/// How many events had been delivered, and when.
struct Pace {
    at: Instant,
    delivered: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct First {
    position: Option<i64>,
    seen: Instant,
    /// Its time, if it has one; else its age counts from when it was first seen.
    time: Option<Timestamp>,
    events: i64,
}

impl Gauge {
    async fn watch(
        &mut self,
        server: &postgres::Server,
        outbox: &OutboxConfig,
    ) -> Result<std::convert::Infallible, String> {
        let client = connect(server).await.map_err(|error| error.reason().to_owned())?;
        client.batch_execute(SESSION).await.map_err(|error| describe(&error))?;
        let backlog = Backlog::prepare(&client, outbox).await?;
        loop {
            let started = Instant::now();
            self.look(&backlog, &client).await?;
            self.report(&client).await?;
            tokio::time::sleep(PAUSE_MIN.max(started.elapsed() * DUTY)).await;
        }
    }

    async fn look(&mut self, backlog: &Backlog, client: &Client) -> Result<(), String> {
        let is_full = self.full <= Instant::now();
        let position = if is_full { BEGINNING } else { self.position };
        let started = Instant::now();
        let look = backlog.look(client, position).await;
        if is_full {
            self.full = Instant::now() + FULL_PAUSE_MIN.max(started.elapsed() * DUTY);
        }
        self.seen(look.map_err(|error| describe(&error))?);
        Ok(())
    }

    /// Says how fast this member is and what it has parked, if that has changed.
    async fn report(&mut self, client: &Client) -> Result<(), String> {
        let (delivered, now) = (self.metrics.delivered(), Instant::now());
        #[expect(clippy::cast_precision_loss, reason = "for people to read")]
        let since = delivered.saturating_sub(self.pace.delivered) as f64;
        self.metrics.paced(since / now.duration_since(self.pace.at).as_secs_f64().max(0.001));
        self.pace = Pace { at: now, delivered };
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
        self.reported = Some((now, seat, report));
        Ok(())
    }

    fn seen(&mut self, look: Look) {
        self.position = look.position.unwrap_or(self.position);
        let known = self.first.filter(|known| look.position.is_some() && known.position == look.position);
        let seen = known.map_or_else(Instant::now, |known| known.seen);
        self.first = Some(First { position: look.position, seen, time: look.oldest, events: look.events });
        self.tell();
    }

    /// What could not be looked at goes on ageing.
    fn not_seen(&mut self) {
        if self.first.is_some() {
            self.tell();
        }
    }

    fn tell(&self) {
        let Some(First { seen, time, events, .. }) = self.first else { return };
        let age = match time {
            _ if events == 0 => 0.0,
            Some(time) => Timestamp::now().duration_since(time).as_secs_f64().max(0.0),
            None => seen.elapsed().as_secs_f64(),
        };
        #[expect(clippy::cast_precision_loss, reason = "it is 100,000 at most")]
        self.metrics.behind(Some(events as f64), Some(age));
    }
}
