//! The sweep: finds what slipped by the cursor (cached sequences, explicit ids, rows that somebody
//! had locked), read-only and on another connection, at a pace that its own cost sets.

use std::time::{Duration, Instant};

use super::cursor::Look;
use super::lease::Lease;
use super::pg_outbox::PgOutbox;
use super::refusal::{failed, within};
use super::state::{State, Suspicion, locked, noted};
use super::{OutboxError, row_security};

/// The sweep is at work at most for one twentieth of the time.
const IDLE_PER_WORK: u32 = 19;
const IS_FILTERED: &str = "select pg_catalog.row_security_active($1::oid)";
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// What a sweep that failed waits for; the claims tell of the failure.
const PAUSE_FAILED: Duration = Duration::from_secs(10);

impl PgOutbox {
    /// Sweeps once; returns how long to wait before the next time.
    pub(super) async fn sweep_once(&self, parked: &[String]) -> Duration {
        let started = Instant::now();
        if let Err(error) = noted(&self.state, within(self.see_all()).await) {
            tracing::debug!(outbox = self.config.name, %error, "cannot verify that row security \
                hides no rows: retrying");
            return PAUSE_FAILED;
        }
        if let Err(error) = self.try_unsettled().await {
            tracing::debug!(outbox = self.config.name, %error, "could not settle delivered rows: \
                retrying");
        }
        match within(self.lowest_behind(parked)).await {
            Ok(found) => {
                if let Some(found) = found {
                    self.found(&found);
                }
                (started.elapsed() * IDLE_PER_WORK).max(PAUSE_MIN)
            }
            Err(error) => {
                tracing::debug!(outbox = self.config.name, %error, "the sweep failed: retrying");
                (started.elapsed() * IDLE_PER_WORK).max(PAUSE_FAILED)
            }
        }
    }

    /// Rows that a policy has hidden since the table was examined would look like none.
    pub(super) async fn see_all(&self) -> Result<(), OutboxError> {
        let client = Lease::new(self.connection().await?);
        let look = async {
            let statement = client.prepare_cached(IS_FILTERED).await?;
            let row = client.query_one(&statement, &[&self.table.oid]).await?;
            if !row.get::<_, bool>(0) {
                return Ok(None);
            }
            row_security::remedy(client.client(), self.table.oid, &self.config).await
        };
        let remedy = client.alone(async { look.await.map_err(|error| failed(&error)) }).await?;
        drop(client.release());
        remedy.map_or(Ok(()), |statement| {
            Err(OutboxError::Changed(format!(
                "row security may hide rows from this role; run: {statement}"
            )))
        })
    }

    /// Makes the next claim come to it, and asks what it says of the table's proof.
    fn found(&self, Found { lowest, xmin, proof }: &Found) {
        tracing::debug!(
            outbox = self.config.name,
            lowest,
            "the sweep found a row behind the cursor"
        );
        let mut state = locked(&self.state);
        state.look_again_from(*lowest);
        let same = state.cursor.proof().map(|proof| &proof.token) == proof.as_ref();
        if same && state.suspicion.is_none() && state.cursor.contradicts(*lowest, *xmin) {
            let why = format!(
                "row {lowest} was written after rows with higher ids had been claimed, by \
                    transaction {xmin}"
            );
            state.suspicion = Some(Suspicion { order: *lowest, why, is_tried: false });
        }
    }

    /// Takes note of a claim, and tells if it settles a suspicion.
    pub(super) fn looked(&self, state: &mut State, look: &Look) {
        state.cursor.looked(look);
        let Some(Suspicion { why, .. }) = state.suspicion.take_if(|suspicion| suspicion.is_tried)
        else {
            return;
        };
        if !state.cursor.distrusts() {
            return;
        }
        tracing::warn!(
            outbox = self.config.name,
            "{why}: ids were assigned by hand, the sequence was set back, or the row was updated; \
                until its next start, this relay no longer assumes that higher ids are newer, \
                which makes claims more expensive"
        );
    }

    /// The lowest row that is not in flight here and that no claim will come to.
    async fn lowest_behind(&self, parked: &[String]) -> Result<Option<Found>, OutboxError> {
        let Some(sweep) = &self.table.sql.sweep else { return Ok(None) };
        let (up_to, slots, held, proof) = {
            let state = locked(&self.state);
            let position = state.cursor.position();
            let in_flight =
                state.in_flight.lowest().map_or(position, |lowest| lowest.saturating_sub(1));
            let proof = state.cursor.proof().map(|proof| proof.token.clone());
            (position.min(in_flight), state.slots(), state.left_behind(), proof)
        };
        if up_to == super::cursor::BEGINNING {
            return Ok(None);
        }
        let client = Lease::new(self.connection().await?);
        let parked = (!parked.is_empty()).then_some(parked);
        let (held, keys) = held.unzip();
        let look = async {
            let sweep = client.prepare_cached(sweep).await?;
            client.query_opt(&sweep, &[&up_to, &parked, &slots, &held, &keys]).await
        };
        let row = client.alone(async { look.await.map_err(|error| failed(&error)) }).await?;
        // The answer is complete: the session goes back to the pool.
        drop(client.release());
        let Some(row) = row else { return Ok(None) };
        let xmin: &str = row.get(1);
        let xmin = xmin
            .parse()
            .map_err(|_| OutboxError::Postgres(format!("an xmin that cannot be read: {xmin:?}")))?;
        Ok(Some(Found { lowest: row.get(0), xmin, proof }))
    }
}

/// A row behind the cursor.
struct Found {
    lowest: i64,
    /// The number of the transaction that wrote it, without the epoch.
    xmin: u32,
    /// The token that the cursor rested on when it was looked for.
    proof: Option<String>,
}
