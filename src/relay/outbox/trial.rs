//! A claim as a trial, for `outflow check`: made as the relay makes it, with its statements,
//! settings and role, and rolled back. Whatever keeps rows from being taken shows here, whether
//! anybody has thought of it or not.

use tokio_postgres::error::SqlState;

use super::claim::{Denied, PgClaim};
use super::examine::{Found, Keep, Line};
use super::pg_outbox::PgOutbox;
use super::refusal::{failed, within};
use super::session::Session;
use super::state::locked;
use super::{Claim as _, OutboxError, SetAside, lock};
use crate::relay::options::OutboxOptions;
use outflow_core::table_name::quote_identifier;

/// Rows that a trial takes at most.
const ROWS_MAX: usize = 100;
/// Nobody else may claim meanwhile: a claim of theirs would skip a row that is held here and take
/// what follows it. Open claims are waited for, briefly, and the relays are held up for as long as
/// one statement may take.
const HOLD: &str = "set lock_timeout = '2s'; set statement_timeout = '5s'";
const FENCE: &str = "select pg_advisory_lock($1, $2)";
const IN_FORCE: &str = "select generation from outflow.outbox where relation = $1::oid";
/// Deferred triggers and foreign keys speak at the commit otherwise.
const AS_IF_COMMITTED: &str = "set constraints all immediate";

/// What a trial has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trial {
    /// Rows that the claim took.
    pub taken: usize,
    /// Rows that it left, although nobody has locked them: counted up to a hundred.
    pub left: i64,
    /// Those of them that have no order value.
    pub without_order: i64,
    /// Rows that somebody else has locked.
    pub locked: i64,
    /// The claims of the relays at work did not end in time: nothing was tried.
    pub is_held_up: bool,
    /// Rows that a relay would set aside before it takes the others. Nothing was claimed behind
    /// them.
    pub aside: Vec<SetAside>,
}

impl PgOutbox {
    /// Claims once, counts what stays behind, and rolls back. For an outbox that this process does
    /// not drain.
    ///
    /// # Errors
    /// The server's words; nothing was taken.
    pub async fn try_out(&self) -> Result<Trial, OutboxError> {
        Box::pin(within(self.tried())).await
    }

    async fn tried(&self) -> Result<Trial, OutboxError> {
        let held_up = || Trial { is_held_up: true, ..Trial::default() };
        let Some(generation) = self.fence_off().await? else { return Ok(held_up()) };
        {
            let mut state = locked(&self.state);
            // All slots are ours.
            state.enter(generation, &[1; 64], 1, &[1]);
            state.limit = state.limit.min(ROWS_MAX);
        }
        let mut lone = false;
        let claim = loop {
            match self.attempt(&[], lone).await? {
                Ok(claim) => break claim,
                Err(Denied::Fewer) => {}
                Err(Denied::One(words)) if lone => return Err(OutboxError::Refused(words)),
                Err(Denied::One(words)) => {
                    if self.fence_off().await?.is_none() {
                        return Ok(held_up());
                    }
                    match self.examined(Line::behind(&[]), &words, Keep::Nothing).await? {
                        Found::SetAside => {
                            let aside = std::mem::take(&mut locked(&self.state).aside);
                            return Ok(Trial { aside, ..Trial::default() });
                        }
                        Found::Fine => lone = true,
                    }
                }
            }
            if self.fence_off().await?.is_none() {
                return Ok(held_up());
            }
        };
        let (taken, is_full) = claim
            .as_ref()
            .map_or((0, false), |claim| (claim.batch().events.len(), claim.is_full()));
        let mut trial = Trial { taken, ..Trial::default() };
        if let Some(claim) = claim {
            claim.as_if_committed().await?;
            if !is_full && !lone {
                let client = claim
                    .client
                    .as_ref()
                    .ok_or_else(|| OutboxError::Postgres("the claim is gone".to_owned()))?;
                self.count_left(client, &mut trial).await?;
            }
            claim.roll_back().await?;
        } else {
            let client = self.connection().await?;
            client.batch_execute("begin").await.map_err(|error| failed(&error))?;
            self.count_left(&client, &mut trial).await?;
            client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
        }
        Ok(trial)
    }

    /// Takes the fence for the session, which ends with this outbox, and returns the generation;
    /// `None` if others keep it. The pool has no other session: the claim is made in this one,
    /// which does not wait for its own lock. One that a refusal has closed has given the fence
    /// back.
    async fn fence_off(&self) -> Result<Option<i64>, OutboxError> {
        let client = self.connection().await?;
        client.batch_execute(HOLD).await.map_err(|error| failed(&error))?;
        match client.execute(FENCE, &[&lock::FENCE, &lock::key(self.table.oid)]).await {
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => return Ok(None),
            outcome => outcome.map_err(|error| failed(&error))?,
        };
        let known =
            client.query_one(IN_FORCE, &[&self.table.oid]).await.map_err(|error| failed(&error))?;
        Ok(Some(known.get(0)))
    }

    /// What is still there, and what of it could be locked here and now.
    async fn count_left(&self, client: &Session, trial: &mut Trial) -> Result<(), OutboxError> {
        let count = async |locking: &str| {
            let sql = left(&self.config, locking);
            client.query_one(&sql, &[]).await.map_err(|error| failed(&error))
        };
        let (all, free) = (count("").await?, count("for update skip locked").await?);
        trial.left = free.get(0);
        trial.without_order = free.get(1);
        trial.locked = all.get::<_, i64>(0) - trial.left;
        Ok(())
    }
}

/// How many rows are in line, and how many of them have no order value; up to a hundred.
fn left(config: &OutboxOptions, locking: &str) -> String {
    let (table, order) = (config.table.quoted(), quote_identifier(&config.columns.order));
    format!(
        "select count(*), count(*) filter (where position is null) from ( \
         select {order} as position from {table} limit {ROWS_MAX} {locking}) as rest"
    )
}

impl PgClaim {
    async fn as_if_committed(&self) -> Result<(), OutboxError> {
        let Some(client) = self.client.as_ref() else { return Ok(()) };
        client.batch_execute(AS_IF_COMMITTED).await.map_err(|error| failed(&error))
    }
}
