//! Recovery and share-out: one transaction that holds the fence exclusively, so that nobody's claim
//! is open.

mod appended;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::identity::{is_another, is_unregistered};
use super::lease::{Lease, abandon};
use super::naming::Settling;
use super::pg_outbox::PgOutbox;
use super::refusal::{failed, within};
use super::server::Server;
use super::session::Session;
use super::slots::{ShareOut, share_out};
use super::state::{State, locked, noted};
use super::unsettled::{self, LeftOut, Unsettled};
use super::witness::Witness;
use super::{Assignment, OutboxError, Recovery, lock};
use crate::relay::event::{Acknowledged, Raised};
use crate::relay::options::OutboxOptions;

/// How long open claims may take to end by themselves. A member that is frozen in its own recovery
/// holds nobody up for long: Redis has answered or not by then. What a deferred trigger has against
/// the settling is said of the row, not of the commit.
const BEGIN: &str = "begin isolation level read committed read write; set constraints all \
    immediate; \
    set local lock_timeout = '2s'; \
    set local idle_in_transaction_session_timeout = '12s'";
const FENCE: &str = "select pg_advisory_xact_lock($1, $2)";
const IN_FORCE: &str = include_str!("sql/in_force.sql");
/// Whoever still holds the fence shared is frozen or cut off: its claim must not end later than
/// this recovery.
const TERMINATE: &str = include_str!("sql/terminate.sql");
const NOTIFY: &str = "select pg_notify('outflow_members_' || $1::oid::text, '')";
/// Attempts to get the fence, each after those who held it were terminated.
const FENCE_ATTEMPTS: usize = 5;

/// An open recovery.
pub struct PgRecovery {
    pub(super) client: Option<Session>,
    /// Which Postgres this is, if it says so.
    pub(super) postgres: Result<Server, OutboxError>,
    /// The same in words; empty if it does not.
    server: String,
    pub(super) seat: i32,
    generation: i64,
    pub(super) slots: ShareOut,
    assignment: Assignment,
    live: Vec<i32>,
    mapping: String,
    pub(super) config: OutboxOptions,
    pub(super) oid: u32,
    pub(super) journal: String,
    pub(super) plain: bool,
    pub(super) settle: Settling,
    raise: String,
    /// Rows that were not let go before.
    pub(super) unsettled: Vec<Unsettled>,
    witness: Witness,
    /// How the members of the generation in force read the table.
    pub(super) found_mapping: String,
    state: Arc<Mutex<State>>,
}

/// What the table says of the share-out, and who lives; read under the fence.
struct Found {
    generation: i64,
    slots: ShareOut,
    mapping: String,
    live: Vec<(i32, String)>,
    is_as_it_was: bool,
    witness: Witness,
    unsettled: String,
}

impl PgOutbox {
    pub(super) async fn begin_recovery(&self) -> Result<PgRecovery, OutboxError> {
        let keys = (lock::FENCE, lock::key(self.table.oid));
        let seat = self.seat().await?;
        for _ in 0..FENCE_ATTEMPTS {
            let client = Lease::new(self.connection().await?);
            // Before the transaction, so that a refusal ends nothing: it is then not known.
            let server = async { Server::of(&client).await.map_err(|error| failed(&error)) };
            let server = client.alone(async { Ok(server.await) }).await?;
            client.begin(BEGIN).await?;
            match fence(&client, keys, self.table.oid, &self.table.sql.is_as_it_was).await {
                Ok(None) => return Err(is_unregistered(&self.config.table)),
                Ok(Some(found)) if !found.is_as_it_was => {
                    return Err(is_another(&self.config.table));
                }
                Ok(Some(found)) if found.live.iter().any(|(number, _)| *number == seat) => {
                    let unsettled = unsettled::of_text(&found.unsettled)?;
                    return Ok(self.plan((client.release(), server), seat, found, unsettled));
                }
                Ok(_) => {
                    self.lose_control().await;
                    return Err(OutboxError::Postgres("this member's seat is gone".to_owned()));
                }
                Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                    client.batch_execute("rollback").await.map_err(|error| failed(&error))?;
                    let row = async {
                        let row = client.query_one(TERMINATE, &[&keys.0, &keys.1]).await;
                        row.map_err(|error| failed(&error))
                    };
                    let row = client.alone(row).await?;
                    let (terminated, others): (i64, Option<String>) = (row.get(0), row.get(1));
                    if terminated > 0 {
                        tracing::warn!(
                            outbox = self.config.name,
                            terminated,
                            "terminated the sessions of claims that did not end"
                        );
                    }
                    if let Some(roles) = others {
                        tracing::warn!(
                            outbox = self.config.name,
                            roles,
                            "claims of another role are still open, and this role may not \
                                terminate them: waiting some seconds until they time out; to \
                                recover faster, grant that role or pg_signal_backend to this role"
                        );
                    }
                    drop(client.release());
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(OutboxError::Postgres("the fence lock is held by sessions that do not end".to_owned()))
    }

    fn plan(
        &self,
        (client, postgres): (Session, Result<Server, OutboxError>),
        seat: i32,
        found: Found,
        unsettled: Vec<Unsettled>,
    ) -> PgRecovery {
        let mine = self.mapping.clone();
        // Those who read the table another way finish first: a rolling upgrade does not mix the
        // two.
        let others = found.live.iter().any(|(_, mapping)| *mapping == found.mapping);
        let stand_by = found.mapping != mine && others;
        let live =
            found.live.iter().filter(|(_, mapping)| *mapping == mine).map(|(number, _)| *number);
        let shares = share_out(&found.slots, &live.collect::<Vec<_>>());
        let assignment = if stand_by {
            Assignment::StandBy
        } else if shares == found.slots && found.mapping == mine {
            Assignment::InForce
        } else {
            Assignment::Changes
        };
        PgRecovery {
            client: Some(client),
            server: postgres.as_ref().map_or_else(|_refused| String::new(), Server::in_words),
            postgres,
            oid: self.table.oid,
            seat,
            generation: found.generation,
            slots: shares,
            assignment,
            live: found.live.into_iter().map(|(number, _)| number).collect(),
            mapping: mine,
            config: self.config.clone(),
            journal: self.table.journal.clone(),
            plain: self.table.plain,
            found_mapping: found.mapping,
            settle: self.table.sql.settle_recovered.clone(),
            raise: self.table.sql.raise.clone(),
            unsettled,
            witness: found.witness,
            state: Arc::clone(&self.state),
        }
    }
}

async fn fence(
    client: &Session,
    keys: (i32, i32),
    oid: u32,
    is_as_it_was: &str,
) -> Result<Option<Found>, tokio_postgres::Error> {
    client.execute(FENCE, &[&keys.0, &keys.1]).await?;
    let Some(row) = client.query_opt(IN_FORCE, &[&oid]).await? else { return Ok(None) };
    let is_as_it_was = client.query_one(is_as_it_was, &[]).await?.get(0);
    let live = client.query(include_str!("sql/live.sql"), &[&oid, &lock::SEAT]).await?;
    let live = live.iter().map(|row: &Row| (row.get(0), row.get(1))).collect();
    // Before Redis is asked: it may know more than this by then, never less.
    let witness = Witness::read(client, oid).await?;
    let generation = row.get(0);
    let slots = row.get(1);
    let mapping = row.get(2);
    let unsettled = row.get(3);
    Ok(Some(Found { generation, slots, mapping, live, is_as_it_was, witness, unsettled }))
}

impl PgRecovery {
    /// From here on this member works in `generation`; what the last one left open may be anywhere.
    fn enter(&self, generation: i64, unsettled: &[Unsettled]) {
        let mut state = locked(&self.state);
        state.enter(generation, &self.slots, self.seat, &self.live);
        state.left_out = LeftOut::of(unsettled);
    }
}

impl Recovery for PgRecovery {
    fn generation(&self) -> i64 {
        self.generation
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn assignment(&self) -> Assignment {
        self.assignment
    }

    fn slots_owned(&self) -> usize {
        self.slots.iter().filter(|owner| **owner == self.seat).count()
    }

    fn leads(&self) -> bool {
        self.slots.first() == Some(&self.seat)
    }

    fn acknowledged(&self) -> &[Acknowledged] {
        &self.witness.acknowledged
    }

    fn loss(&self) -> i64 {
        self.witness.loss
    }

    async fn adopt(mut self) -> Result<(), OutboxError> {
        let Some(client) = self.client.take() else { return Ok(()) };
        within(async { client.batch_execute("rollback").await.map_err(|error| failed(&error)) })
            .await?;
        self.enter(self.generation, &self.unsettled);
        Ok(())
    }

    async fn finish(
        mut self,
        raised: &Raised,
        lost: bool,
        oldest: i64,
    ) -> Result<u64, OutboxError> {
        let Raised { generation, appended, .. } = raised;
        let generation = *generation;
        let Some(client) = self.client.take() else { return Ok(0) };
        let raise = async |unsettled: &str| {
            // After the settling, which has locked whatever the name means: it stays what it is
            // until the commit.
            let params: [&(dyn ToSql + Sync); 5] =
                [&self.oid, &generation, &self.slots, &self.mapping, &unsettled];
            if client.execute(&self.raise, &params).await? == 0 {
                return Ok(false);
            }
            client
                .execute(include_str!("sql/remove_members.sql"), &[&self.oid, &lock::SEAT])
                .await?;
            Witness::close(&client, self.oid, generation, oldest, lost).await?;
            client.execute(NOTIFY, &[&self.oid]).await?;
            client.batch_execute("commit").await?;
            Ok(true)
        };
        let outcome = within(async {
            let (settled, unsettled) = self.settle(&client, appended).await?;
            let raised = raise(&unsettled::to_text(&unsettled)).await;
            let raised = raised.map_err(|error: tokio_postgres::Error| failed(&error))?;
            if raised { Ok((settled, unsettled)) } else { Err(is_another(&self.config.table)) }
        });
        match noted(&self.state, outcome.await) {
            Ok((settled, unsettled)) => {
                unsettled::tell(&self.config.name, &self.unsettled, &unsettled);
                self.enter(generation, &unsettled);
                Ok(settled)
            }
            Err(error) => Err(abandon(client, error)),
        }
    }
}

/// A recovery that is not finished leaves nothing open: its session is closed, not given back.
impl Drop for PgRecovery {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            client.close();
        }
    }
}
