//! A writer that inserts events at a fixed rate and remembers when each was sent and committed.

use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use super::fill::payload;

/// When each event is due. Several writers share it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    /// Events a second.
    pub(crate) rate: u32,
    pub(crate) events: usize,
}

/// One event as its writer saw it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) number: usize,
    pub(crate) sent: Instant,
    /// When the answer to the commit was there.
    pub(crate) committed: Instant,
}

impl Schedule {
    pub(crate) fn period(&self) -> Duration {
        Duration::from_secs(1) / self.rate
    }

    pub(crate) fn due(&self, number: usize) -> Instant {
        self.start + self.period() * u32::try_from(number).unwrap_or(u32::MAX)
    }
}

/// Writes every `of`th event, beginning with `first`, on a connection of its own. An event that is
/// due while the last one is still being committed is sent as soon as that is done; the schedule
/// does not shift.
///
/// It blocks its thread, and has a runtime on it: no other thread has to be woken between the
/// answer of Postgres and the look at the clock.
pub(crate) fn write(
    url: &str,
    table: &str,
    schedule: Schedule,
    first: usize,
    of: usize,
) -> Outcome<Vec<Written>> {
    let insert = format!(
        "insert into {table} (event_id, aggregate_type, aggregate_id, event_type, payload) \
         values ($1, 'order-0', $2::bigint::text, 'OrderPlaced', $3::text::json)"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = runtime.block_on(outflow_local::session(url))?;
    let insert = runtime.block_on(client.prepare(&insert))?;
    let payload = payload(260);
    let mut written = Vec::with_capacity(schedule.events / of + 1);
    for number in (first..schedule.events).step_by(of) {
        // A timer of tokio would be a millisecond late.
        thread::sleep(schedule.due(number).saturating_duration_since(Instant::now()));
        let (id, key) = (event_id(number), i64::try_from(number % 1_000)?);
        let sent = Instant::now();
        runtime.block_on(client.execute(&insert, &[&id, &key, &payload]))?;
        written.push(Written { number, sent, committed: Instant::now() });
    }
    Ok(written)
}

/// The id says the number, so that the reader need not look it up.
fn event_id(number: usize) -> uuid::Uuid {
    uuid::Uuid::from_u128(number as u128)
}

/// The number that an id says.
pub(crate) fn number_of(event_id: &str) -> Outcome<usize> {
    Ok(usize::try_from(uuid::Uuid::parse_str(event_id)?.as_u128())?)
}
