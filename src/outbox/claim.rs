//! Claiming: one transaction that fences itself, checks its generation, and takes the next rows out of the table.

use std::sync::{Arc, Mutex};

use deadpool_postgres::Object;
use futures_util::{TryStreamExt, future};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::cursor::{Look, Proof, Snapshot};
use super::identity::{is_another, is_unregistered, same_types};
use super::lease::Lease;
use super::row::Rows;
use super::source::{PgOutbox, State, failed, locked, within};
use super::{OutboxError, lock};
use crate::event::Batch;

const BEGIN: &str = "begin isolation level read committed read write";
/// The setting lives as long as the transaction, and the delete asks for it: had `begin` failed, each of the statements
/// sent behind it would commit by itself, and this one would set it for nobody.
const FENCE: &str = "select pg_advisory_xact_lock_shared($1, $2), set_config('outflow.claim', 'open', true)";

/// An open claim: its transaction and its rows.
pub struct PgClaim {
    pub(super) outbox_name: String,
    /// The columns that the stream template names, as in [`Batch::route`].
    pub(super) route_columns: Vec<String>,
    pub(super) client: Option<Object>,
    pub(super) batch: Batch,
    pub(super) number: u64,
    /// Whether it took as many rows as it was allowed to.
    pub(super) full: bool,
    /// Whether its commit is known.
    pub(super) settled: bool,
    pub(super) state: Arc<Mutex<State>>,
}

/// Where a claim may look.
struct Bounds {
    position: i64,
    xids: Vec<String>,
    floors: Vec<i64>,
    limit: usize,
    generation: i64,
    slots: Option<i64>,
    unseen: Option<(u64, i64)>,
    proof: Option<Proof>,
}

/// What a look at the table gave.
enum Looked {
    Rows(Batch, Look),
    /// More bytes than a batch may have; this many rows fit.
    TooLarge(usize),
}

impl PgOutbox {
    /// Takes the next rows, as many as fit.
    pub(super) async fn take(&self, parked: &[String]) -> Result<Option<PgClaim>, OutboxError> {
        loop {
            let client = Lease::new(self.connection().await?);
            let (batch, look) = match self.look(&client, parked).await {
                Ok(Looked::Rows(batch, look)) => (batch, look),
                Ok(Looked::TooLarge(fits)) => {
                    locked(&self.state).limit = fits;
                    roll_back(client).await?;
                    continue;
                }
                Err(error @ (OutboxError::Stale(_) | OutboxError::InFlight(_))) => {
                    roll_back(client).await?;
                    return Err(error);
                }
                Err(error @ (OutboxError::Postgres(_) | OutboxError::Changed(_))) => return Err(error),
            };
            return self.hold(client, batch, &look).await;
        }
    }

    /// Registers the rows, or lets them go if one is in flight already.
    async fn hold(&self, client: Lease, batch: Batch, look: &Look) -> Result<Option<PgClaim>, OutboxError> {
        let by_order = self.config.columns.order == self.config.columns.id && self.table.has_cursor;
        let entered = {
            let mut state = locked(&self.state);
            let entered = state.in_flight.enter(&batch, by_order);
            if entered.is_ok() {
                state.cursor.looked(look);
            }
            entered
        };
        match entered {
            Ok(number) if batch.events.is_empty() => {
                locked(&self.state).in_flight.leave(number);
                roll_back(client).await?;
                Ok(None)
            }
            Ok(number) => {
                let (state, outbox_name) = (Arc::clone(&self.state), self.config.name.clone());
                let route_columns = self.config.stream.columns().map(str::to_owned).collect();
                let (client, full) = (Some(client.release()), look.full);
                Ok(Some(PgClaim { outbox_name, route_columns, client, batch, number, full, settled: false, state }))
            }
            Err(row) => {
                roll_back(client).await?;
                Err(OutboxError::InFlight(String::from_utf8_lossy(&row).into_owned()))
            }
        }
    }

    async fn look(&self, client: &Object, parked: &[String]) -> Result<Looked, OutboxError> {
        let oid = self.table.oid;
        let Bounds { position, xids, floors, limit, generation, slots, unseen, proof } = self.bounds();
        let (fence, ask, claim) = self.prepared(client).await?;
        let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
        let parked = (!parked.is_empty()).then_some(parked);
        let (unseen, unseen_floor) = unseen.map(|(number, floor)| (number.to_string(), floor)).unzip();
        let (proof_token, proof_drawn) = proof.map(|Proof { token, drawn }| (token, drawn)).unzip();
        let params: [&(dyn ToSql + Sync); 11] = [
            &position,
            &xids,
            &floors,
            &rows_max,
            &parked,
            &slots,
            &unseen,
            &unseen_floor,
            &generation,
            &proof_token,
            &proof_drawn,
        ];
        // One round trip: the four are sent together, and Postgres runs them one after another.
        let ((), _, known, rows) = future::try_join4(
            client.batch_execute(BEGIN),
            client.execute(&fence, &[&lock::FENCE, &lock::key(oid)]),
            client.query_opt(&ask, &[&oid]),
            client.query_raw(&claim, params),
        )
        .await
        .map_err(|error| failed(&error))?;
        let mut rows = std::pin::pin!(rows);
        let mut taken = Rows::new(&self.table.layout);
        while let Some(row) = rows.try_next().await.map_err(|error| failed(&error))? {
            taken.push(&row).map_err(|error| OutboxError::Postgres(error.to_string()))?;
            if taken.bytes() > self.config.batch_bytes && taken.len() > 1 {
                return Ok(Looked::TooLarge(taken.len() - 1));
            }
        }
        let known = known.ok_or_else(|| is_unregistered(&self.config.table))?;
        // Rows of another table were not taken: the delete asks too. But that there are none would be believed.
        if !known.get::<_, bool>(2) {
            return Err(is_another(&self.config.table));
        }
        let in_force: i64 = known.get(0);
        if in_force != generation {
            return Err(OutboxError::Stale(in_force));
        }
        let snapshot = Snapshot::parse(known.get(1))
            .ok_or_else(|| OutboxError::Postgres("a snapshot that cannot be read".to_owned()))?;
        let proof = known.get::<_, Option<String>>(3).zip(known.get(4)).map(|(token, drawn)| Proof { token, drawn });
        let full = taken.len() >= limit;
        self.adapt_limit(taken.len(), taken.bytes());
        let (batch, own) = taken.finish();
        let last = batch.events.last().and_then(|event| event.order);
        Ok(Looked::Rows(batch, Look { snapshot, proof, own, last, full }))
    }

    async fn prepared(&self, client: &Object) -> Result<(Statement, Statement, Statement), OutboxError> {
        let (fence, ask) = (client.prepare_cached(FENCE), client.prepare_cached(&self.table.sql.generation));
        let claim = client.prepare_cached(&self.table.sql.claim);
        let prepared = future::try_join3(fence, ask, claim).await.map_err(|error| failed(&error))?;
        same_types(&prepared.2, &self.table.layout.types, &self.config.table)?;
        Ok(prepared)
    }

    /// Opens the connections that the batches in flight will use, so that the first events do not wait for them.
    pub(super) async fn warm_up(&self) {
        let ready = async |_| {
            let client = self.connection().await?;
            self.prepared(&client).await?;
            Ok::<_, OutboxError>(client)
        };
        if let Err(error) = within(future::try_join_all((0..self.config.in_flight).map(ready))).await {
            tracing::debug!(outbox = self.config.name, %error, "connections are opened when they are needed");
        }
    }

    /// Where to look, after what was found outside the claims.
    fn bounds(&self) -> Bounds {
        let mut state = locked(&self.state);
        state.catch_up();
        let (xids, floors) = state.cursor.watched().map(|(xid, floor)| (xid.to_string(), floor)).unzip();
        let (position, limit) = (state.cursor.position(), state.limit);
        Bounds {
            position,
            xids,
            floors,
            limit,
            generation: state.generation,
            slots: state.slots(),
            unseen: state.cursor.unseen(),
            proof: state.cursor.proof().cloned(),
        }
    }

    /// After large rows the limit grows again, as fast as what was seen allows.
    fn adapt_limit(&self, rows: usize, bytes: usize) {
        let average = bytes.checked_div(rows).unwrap_or(0).max(1);
        let fits = (self.config.batch_bytes / average).max(1);
        let mut state = locked(&self.state);
        state.limit = fits.min(state.limit.saturating_mul(2)).min(self.config.batch_rows);
    }
}

/// Ends a transaction of which nothing shall stay.
pub(super) async fn roll_back(client: Lease) -> Result<(), OutboxError> {
    client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
    drop(client.release());
    Ok(())
}

/// Closes a session whose state is not known instead of giving it back to the pool.
pub(super) fn abandon(client: Object, error: OutboxError) -> OutboxError {
    drop(Object::take(client));
    error
}
