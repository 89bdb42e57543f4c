//! Retention: removes rows that are older than `keep.for` and that every position has passed. Done
//! by the member that owns slot 0, beside its claims.
//!
//! A partition of the ring is emptied by TRUNCATE, a plain table row by row. What other children a
//! table has is looked after by whoever made them. Which rows are read is decided by the copies of
//! the positions in Postgres: they are never ahead of the journal that they were copied from.

pub mod plain;
pub mod ring;
pub mod rules;
mod state;

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::super::lease::Lease;
use super::super::patience::Patience;
use super::super::refusal::failed;
use super::super::state::locked;
use super::KeptOutbox;
use super::unread::copies;
use crate::relay::kept::pieces::Piece;
use crate::relay::kept::ring::Ring;
use crate::relay::kept::table::partitions;
use crate::relay::outbox::OutboxError;
use crate::relay::outbox::slots::ALL;
use outflow_core::table_name::quote_identifier;
use plain::Pass;
use ring::{Emptied, Look, Partition};
use rules::Rules;

pub(super) use state::Retention;
pub use state::Teller;

/// Between two rounds, at least.
const PAUSE: Duration = Duration::from_mins(1);
/// It is at work for at most about 3 % of the time.
const IDLE_PER_WORK: u32 = 32;
/// Between two steps of one round.
const STEP_PAUSE_MIN: Duration = Duration::from_millis(20);
const SESSION: &str = "begin isolation level read committed read write; \
    set local idle_in_transaction_session_timeout = '10s'";
const SHAPE: &str = include_str!("sql/shape.sql");
/// Partitions and rows that status names.
const HELD_MAX: usize = 10;
/// A partition whose turn comes within this time is left alone: clocks of writers differ.
const SOON: i64 = 60;

/// What a round has come to.
struct Round {
    /// Old rows that stay, and why.
    held: Vec<String>,
    /// There is more to do.
    goes_on: bool,
}

/// What the table is, for retention.
enum Shape {
    Plain {
        may_delete: bool,
    },
    Ring {
        ring: Ring,
        key: String,
    },
    /// Nothing can be removed; why, if somebody should know.
    Left(Option<String>),
}

struct Known {
    shape: Shape,
    generation: i64,
    /// Seconds since 1970.
    now: i64,
    role: String,
    time_type: Option<String>,
}

impl KeptOutbox {
    /// Does what is due, and returns how long to wait before the next time.
    pub(super) async fn retain(&self) -> Duration {
        let retention = &self.retention;
        let wait = retention.wait();
        if !locked(&self.base.state).sleep_role().0 {
            // Others do it, and may have stopped in the middle.
            retention.state.lock().pass = Pass::default();
            (retention.teller)(Vec::new());
            return PAUSE;
        }
        if wait > Duration::ZERO {
            return wait;
        }
        let started = Instant::now();
        let patience = retention.state.lock().patience.clone();
        let limit = patience.answer_limit();
        let round = match tokio::time::timeout(limit, self.round(&patience)).await {
            Ok(Ok(round)) => {
                retention.state.lock().patience.answered("", started.elapsed());
                round
            }
            Ok(Err(error)) => self.failed(&error.to_string(), started.elapsed()),
            Err(_elapsed) => {
                let why = format!("no answer within {} s", limit.as_secs());
                self.failed(&why, started.elapsed())
            }
        };
        let rest = started.elapsed() * IDLE_PER_WORK;
        let rest = rest.max(if round.goes_on { STEP_PAUSE_MIN } else { PAUSE });
        retention.state.lock().due = Instant::now() + rest;
        if !round.goes_on {
            (retention.teller)(round.held);
        }
        rest
    }

    fn failed(&self, why: &str, took: Duration) -> Round {
        let outbox = &self.base.config.name;
        let (is_cut_off, next) = {
            let mut state = self.retention.state.lock();
            state.pass = Pass::default();
            (state.patience.cut_off("", took), state.patience.limit().as_secs())
        };
        if is_cut_off {
            tracing::warn!(
                outbox,
                why,
                took = format!("{} s", took.as_secs()),
                next_limit = format!("{next} s"),
                "the search for old rows took too long and was ended: they stay for now, and the \
                    next search may take longer; `outflow check` says if an index is missing"
            );
        } else {
            tracing::debug!(outbox, why, "could not remove old rows");
        }
        Round { held: vec![format!("old rows cannot be removed: {why}")], goes_on: false }
    }

    async fn round(&self, patience: &Patience) -> Result<Round, OutboxError> {
        if let Some(client) = self.base.own_session().await? {
            return self.round_with(&client, patience).await;
        }
        let client = Lease::new(self.base.connection().await?);
        let round = self.round_with(client.client(), patience).await?;
        drop(client.release());
        Ok(round)
    }

    async fn round_with(&self, client: &Client, patience: &Patience) -> Result<Round, OutboxError> {
        let said = |error: tokio_postgres::Error| failed(&error);
        let left = |why: Option<String>| Round { held: why.into_iter().collect(), goes_on: false };
        let known = self.look_at_table(client).await.map_err(said)?;
        let Some(known) = known else { return Ok(left(None)) };
        if let Shape::Left(why) = known.shape {
            return Ok(left(why));
        }
        let copies = copies(client, self.base.table.oid).await.map_err(said)?;
        let copies = copies.map_err(OutboxError::Postgres)?;
        let pieces = || copies.iter().flat_map(|copy| copy.pieces.all());
        let is_of_slots = |piece: &&Piece| piece.stream.is_none();
        let covered = pieces().filter(is_of_slots).fold(0, |slots, piece| slots | piece.slots);
        if covered != ALL {
            let why = "outflow.position has no copies of the positions of all slots";
            return Ok(left(Some(why.to_owned())));
        }
        let rules = Rules::new(&self.base.config, &self.keep, &copies, known.time_type.as_deref());
        let Some(rules) = rules else {
            let why = "columns.time names no column that tells the age of a row";
            return Ok(left(Some(why.to_owned())));
        };
        match &known.shape {
            Shape::Plain { may_delete: false } => {
                let table = self.base.config.table.quoted();
                let what = format!("{table} needs the privilege to delete");
                self.tell_privilege(&format!("grant delete on {table} to {}", known.role));
                Ok(left(Some(what)))
            }
            Shape::Plain { may_delete: true } => {
                self.plain((client, patience), &rules).await.map_err(said)
            }
            Shape::Ring { ring, key } => {
                self.ring((client, patience), &rules, &known, *ring, key).await.map_err(said)
            }
            Shape::Left(_) => Ok(left(None)),
        }
    }

    async fn plain(
        &self,
        (client, patience): (&Client, &Patience),
        rules: &Rules,
    ) -> Result<Round, tokio_postgres::Error> {
        let mut pass = self.retention.state.lock().pass.clone();
        let step = plain::step(client, rules, &mut pass);
        let deleted = in_transaction((client, patience), step).await?;
        if deleted > 0 {
            tracing::debug!(outbox = self.base.config.name, rows = deleted, "deleted old rows");
        }
        let goes_on = !pass.is_over;
        let held = pass.held();
        self.retention.state.lock().pass = if goes_on { pass } else { Pass::default() };
        Ok(Round { held: held.into_iter().collect(), goes_on })
    }

    async fn ring(
        &self,
        (client, patience): (&Client, &Patience),
        rules: &Rules,
        known: &Known,
        ring: Ring,
        key: &str,
    ) -> Result<Round, tokio_postgres::Error> {
        let outbox = &self.base.config.name;
        let busy = [known.now, known.now + SOON].map(|at| turn(ring, at));
        let (mut held, mut closed) = (Vec::new(), Vec::new());
        for found in partitions(client, self.base.table.oid, ring.slots).await? {
            let Some(slot) = found.slot.filter(|slot| !busy.contains(slot)) else { continue };
            if !found.may_truncate {
                closed.push(found.name);
                continue;
            }
            let partition = Partition { name: found.name, key: key.to_owned(), slot };
            let seen =
                match in_transaction((client, patience), partition.look(client, rules)).await? {
                    Look::Wait => continue,
                    Look::Unread { row, stream } => {
                        held.push(format!(
                        "{} keeps rows older than keep.for: row {row} ({stream}) has not been read",
                        partition.name
                    ));
                        continue;
                    }
                    Look::Due { seen } => seen,
                };
            let at = (self.base.table.oid, known.generation);
            match partition.empty(client, rules, &seen, at).await? {
                Emptied::Done => {
                    let partition = &partition.name;
                    tracing::info!(outbox, partition, "emptied a partition of old rows");
                }
                Emptied::Changed => {
                    tracing::debug!(outbox, partition = partition.name, "old rows were added");
                }
                Emptied::Locked => {
                    held.push(format!(
                        "{} keeps rows older than keep.for: an open transaction has it locked",
                        partition.name
                    ));
                    // Claims wait behind the attempt: no second one in this round.
                    break;
                }
            }
        }
        if !closed.is_empty() {
            let closed = closed.join(", ");
            self.tell_privilege(&format!("grant truncate on {closed} to {}", known.role));
            held.push(format!("{closed} need the privilege to truncate"));
        }
        held.truncate(HELD_MAX);
        Ok(Round { held, goes_on: false })
    }

    /// Once: it is no reason to stop.
    fn tell_privilege(&self, grant: &str) {
        let told = std::mem::replace(&mut self.retention.state.lock().told_of_privilege, true);
        if !told {
            tracing::warn!(
                outbox = self.base.config.name,
                "this role may not remove old rows, so they stay; run: {grant};"
            );
        }
    }

    async fn look_at_table(&self, client: &Client) -> Result<Option<Known>, tokio_postgres::Error> {
        let time = self.base.config.columns.time.as_deref().unwrap_or_default();
        let oid = self.base.table.oid;
        let rows = client.query_typed(SHAPE, &[(&oid, Type::OID), (&time, Type::TEXT)]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let key: Option<String> = row.get("partition_key");
        let shape = match (&key, row.get::<_, bool>("has_children")) {
            (None, false) => Shape::Plain { may_delete: row.get("may_delete") },
            (None, true) => Shape::Left(None),
            (Some(key), _) => ring_of(key, row.get("is_by_time")),
        };
        Ok(Some(Known {
            shape,
            generation: row.get("generation"),
            now: row.get("now"),
            role: quote_identifier(row.get("role")),
            time_type: row.get("time_type"),
        }))
    }
}

/// Its partition key as SQL, if it is that of a ring by the time of a row.
fn ring_of(key: &str, is_by_time: bool) -> Shape {
    let expression =
        key.strip_prefix("LIST (").and_then(|key| key.strip_suffix(')')).map(str::to_owned);
    match Ring::of_key(key).zip(expression) {
        None => Shape::Left(None),
        Some(_) if !is_by_time => Shape::Left(Some(
            "the ring of partitions is not by the column that columns.time names".to_owned(),
        )),
        Some((ring, key)) => Shape::Ring { ring, key },
    }
}

/// Which partition takes the rows of a moment.
fn turn(ring: Ring, at: i64) -> u64 {
    at.unsigned_abs() / ring.unit % ring.slots
}

/// A step may take long; nothing of the limit stays in the session.
async fn in_transaction<T>(
    (client, patience): (&Client, &Patience),
    step: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    client.batch_execute(&format!("{SESSION}; {}", patience.set_local())).await?;
    let outcome = step.await;
    client.batch_execute(if outcome.is_ok() { "commit" } else { "rollback" }).await?;
    outcome
}
