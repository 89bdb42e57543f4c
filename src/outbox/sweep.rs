//! The sweep: finds what slipped by the cursor (cached sequences, explicit ids, rows that somebody had locked), read-only
//! and on another connection, at a pace that its own cost sets.

use std::time::{Duration, Instant};

use super::OutboxError;
use super::lease::Lease;
use super::source::{PgOutbox, failed, locked, within};

/// The sweep is at work at most for one twentieth of the time.
const IDLE_PER_WORK: u32 = 19;
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// What a sweep that failed waits for; the claims tell of the failure.
const PAUSE_FAILED: Duration = Duration::from_secs(10);

impl PgOutbox {
    /// Sweeps once; returns how long to wait before the next time.
    pub(super) async fn sweep_once(&self, parked: &[String]) -> Duration {
        let started = Instant::now();
        match within(self.lowest_behind(parked)).await {
            Ok(found) => {
                if let Some(lowest) = found {
                    tracing::debug!(outbox = self.config.name, lowest, "the sweep found a row behind the cursor");
                    locked(&self.state).look_again_from(lowest);
                }
                (started.elapsed() * IDLE_PER_WORK).max(PAUSE_MIN)
            }
            Err(error) => {
                tracing::debug!(outbox = self.config.name, %error, "a sweep failed");
                PAUSE_FAILED
            }
        }
    }

    /// The lowest order value that is not in flight here and that no claim will come to.
    async fn lowest_behind(&self, parked: &[String]) -> Result<Option<i64>, OutboxError> {
        let Some(sweep) = &self.table.sql.sweep else { return Ok(None) };
        let (up_to, slots) = {
            let state = locked(&self.state);
            let position = state.cursor.position();
            let in_flight = state.in_flight.lowest().map_or(position, |lowest| lowest.saturating_sub(1));
            (position.min(in_flight), state.slots())
        };
        if up_to == super::cursor::BEGINNING {
            return Ok(None);
        }
        let client = Lease::new(self.connection().await?);
        let parked = (!parked.is_empty()).then_some(parked);
        let sweep = client.prepare_cached(sweep).await.map_err(|error| failed(&error))?;
        let row = client.query_one(&sweep, &[&up_to, &parked, &slots]).await.map_err(|error| failed(&error))?;
        // The answer is complete: the session goes back to the pool.
        drop(client.release());
        Ok(row.get(0))
    }
}
