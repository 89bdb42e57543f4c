//! Claiming: one transaction that fences itself, checks its generation, and takes the next rows out
//! of the table.

mod first;
pub(super) mod limit;
mod prepare;

use std::sync::Arc;

use futures_util::{TryFutureExt, TryStreamExt, future};
use parking_lot::Mutex;
use tokio_postgres::types::ToSql;

use limit::as_cap;
use prepare::OPEN;

use super::bounds::Bounds;
use super::cursor::{Look, Proof, Snapshot};
use super::examine::{Found, Line};
use super::fence::BEGIN;
use super::lease::{Lease, roll_back, roll_back_and_close};
use super::patience::{Patience, begin};
use super::pg_outbox::PgOutbox;
use super::refusal::within;
use super::refusal::{Failed, Said, ask_for};
use super::row::{BadRow, Rows};
use super::session::{Session, elsewhere};
use super::state::{State, locked};
use super::texts::Texts;
use super::turn::REMEDY;
use super::{OutboxError, lock};
use crate::relay::event::Batch;

/// An open claim: its transaction and its rows.
pub struct PgClaim {
    pub(super) outbox_name: String,
    /// The columns that the stream template names, as in [`Batch::route`].
    pub(super) route_columns: Vec<String>,
    /// How its fields become texts.
    pub(super) texts: Texts,
    pub(super) client: Option<Session>,
    pub(super) batch: Batch,
    pub(super) number: u64,
    /// Whether it took as many rows as it was allowed to.
    pub(super) full: bool,
    /// Whether its commit is known.
    pub(super) settled: bool,
    pub(super) state: Arc<Mutex<State>>,
}

/// What a look at the table gave.
enum Looked {
    Rows(Batch, Look),
    /// More bytes than a batch may have; this many rows fit.
    TooLarge(usize),
    /// A row that cannot be delivered like this, behind so many that can.
    Bad(usize, BadRow),
    /// The server has said no, behind so many rows.
    Refused(usize, Said),
}

/// Why one try to claim has come to nothing.
pub(super) enum Denied {
    /// It was too much: the next try asks for fewer.
    Fewer,
    /// One row is refused, and why.
    One(String),
}

impl PgOutbox {
    /// Takes the next rows, as many as fit. What the server refuses is tried again with as many as
    /// it had handed out by then, down to the one row that is the reason; that one is looked at
    /// alone. Not by halves: each attempt may cost the server seconds, if the row is a gigabyte as
    /// text.
    pub(super) async fn take(&self, parked: &[String]) -> Result<Option<PgClaim>, OutboxError> {
        let mut lone = false;
        loop {
            match self.attempt(parked, lone).await? {
                Ok(claim) => return Ok(claim),
                Err(Denied::Fewer) => {}
                Err(Denied::One(words)) if lone => return Err(OutboxError::Refused(words)),
                Err(Denied::One(_)) if self.others_ended().await => {}
                Err(Denied::One(words)) => {
                    match self.examine(Line::behind(parked), &words).await? {
                        Found::SetAside => return Ok(None),
                        Found::Fine => lone = true,
                    }
                }
            }
        }
    }

    /// Waits until every claim that is open has ended, and returns whether there was one. What dies
    /// in them is buried first: a retry puts dead letters back in the order in which they were
    /// buried. And what they let go of comes first in the next look.
    async fn others_ended(&self) -> bool {
        let mut waited = false;
        loop {
            let ended = {
                let state = locked(&self.state);
                if state.in_flight.is_empty() {
                    return waited;
                }
                Arc::clone(&state.ended)
            };
            ended.notified().await;
            waited = true;
        }
    }

    /// One try. `lone`: of one row, however large it is.
    pub(super) async fn attempt(
        &self,
        parked: &[String],
        lone: bool,
    ) -> Result<Result<Option<PgClaim>, Denied>, OutboxError> {
        let client = Lease::new(self.connection().await?);
        let (refusal, is_narrowed) = match self.look(&client, parked, lone, None).await {
            Ok(Looked::Rows(batch, look)) => {
                return within(self.hold(client, batch, Some(&look))).await.map(Ok);
            }
            Ok(Looked::TooLarge(fits)) => {
                locked(&self.state).limit = fits;
                within(roll_back(client)).await?;
                return Ok(Err(Denied::Fewer));
            }
            Ok(Looked::Bad(before, bad)) => {
                within(roll_back(client)).await?;
                (bad.to_string(), !lone && self.narrow(before))
            }
            Ok(Looked::Refused(before, said)) => {
                let may_be_too_much = said.may_be_too_much();
                within(roll_back_and_close(client)).await?;
                if !may_be_too_much {
                    return Err(OutboxError::Refused(said.words));
                }
                (said.words, !lone && self.narrow(before))
            }
            Err(error @ (OutboxError::Stale(_) | OutboxError::InFlight(_))) => {
                within(roll_back(client)).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        Ok(Err(if is_narrowed { Denied::Fewer } else { Denied::One(refusal) }))
    }

    /// Registers the rows, or lets them go if one is in flight already.
    async fn hold(
        &self,
        client: Lease,
        batch: Batch,
        look: Option<&Look>,
    ) -> Result<Option<PgClaim>, OutboxError> {
        let by_order = self.config.columns.order == self.config.columns.id && self.table.has_cursor;
        let entered = {
            let mut state = locked(&self.state);
            let entered = state.in_flight.enter(&batch, by_order);
            if let Some(look) = look.filter(|_| entered.is_ok()) {
                self.looked(&mut state, look);
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
                let (client, full) = (Some(client.release()), look.is_some_and(|look| look.full));
                let texts = Texts::new(&self.config, &self.table.ascii);
                let settled = false;
                Ok(Some(PgClaim {
                    outbox_name,
                    route_columns,
                    texts,
                    client,
                    batch,
                    number,
                    full,
                    settled,
                    state,
                }))
            }
            Err(row) => {
                roll_back(client).await?;
                Err(OutboxError::InFlight(
                    String::from_utf8_lossy(&row).replace('\0', " of version "),
                ))
            }
        }
    }

    /// `lone`: one row, which is known to be no larger than an event may be. `only`: of this
    /// stream, wherever it is.
    async fn look(
        &self,
        client: &Session,
        parked: &[String],
        lone: bool,
        only: Option<&str>,
    ) -> Result<Looked, OutboxError> {
        let turn = self.turn(client, only.unwrap_or_default()).await;
        let looked = match self.ask_for_rows(client, parked, (lone, only), &turn.patience).await {
            Ok(looked) => Ok(looked),
            Err(Failed::Said(said)) => Ok(Looked::Refused(0, said)),
            Err(Failed::Lost(error)) => Err(error),
        };
        let is_cut_off = match &looked {
            Ok(Looked::Refused(_, said)) => self.cut_off(&turn, Some(said)),
            Err(OutboxError::Postgres(_)) => self.cut_off(&turn, None),
            Err(_) => false,
            Ok(Looked::Rows(..) | Looked::TooLarge(_) | Looked::Bad(..)) => {
                self.answered(&turn);
                false
            }
        };
        if is_cut_off {
            self.tell_cut_off(&turn, REMEDY);
        }
        looked
    }

    async fn ask_for_rows(
        &self,
        client: &Session,
        parked: &[String],
        (lone, only): (bool, Option<&str>),
        patience: &Patience,
    ) -> Result<Looked, Failed> {
        let oid = self.table.oid;
        let Bounds {
            position,
            xids,
            floors,
            limit,
            generation,
            slots,
            unseen,
            proof,
            held,
            sequence,
        } = self.bounds();
        let [fence, ask_generation, claim] = self.prepared(client).await?;
        let batch_max = self.config.batch_bytes;
        let bytes_max = if lone { self.config.event_bytes_max.max(batch_max) } else { batch_max };
        let (limit, cap) = (if lone { 1 } else { limit }, as_cap(bytes_max));
        let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
        let parked = (!parked.is_empty()).then_some(parked);
        let position = if only.is_some() { super::cursor::BEGINNING } else { position };
        let (unseen, unseen_floor) =
            unseen.map(|(number, floor)| (number.to_string(), floor)).unzip();
        let (proof_token, proof_drawn) = proof.map(|Proof { token, drawn }| (token, drawn)).unzip();
        let (held, held_keys) = held.unzip();
        let params: [&(dyn ToSql + Sync); 17] = [
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
            &cap,
            &self.marker,
            &held,
            &held_keys,
            &only,
            &sequence,
        ];
        // One round trip: the four are sent together, and Postgres runs them one after another.
        let (begin, answer_limit) = (begin(BEGIN, patience), patience.answer_limit());
        let (begin, proof) = (client.beginning(&begin), client.proof());
        let key = lock::key(oid);
        let fence_params: [&(dyn ToSql + Sync); 3] = [&lock::FENCE, &key, &proof];
        let fence_params = &fence_params[..if proof.is_some() { 3 } else { 2 }];
        let ((), fenced, known, rows) = ask_for(
            answer_limit,
            future::try_join4(
                client.batch_execute(&begin),
                client.query_one(&fence, fence_params),
                client.query_opt(&ask_generation, &[&oid, &sequence]),
                client.query_raw(&claim, &params),
            )
            .map_err(Failed::from),
        )
        .await?;
        if fenced.get::<_, &str>(1) != OPEN {
            return Err(Failed::Lost(elsewhere()));
        }
        let mut rows = std::pin::pin!(rows);
        let mut taken = Rows::new(&self.table.layout, bytes_max, &self.marker);
        let ended = ask_for(answer_limit, async {
            while let Some(row) = rows.try_next().await? {
                if let Err(bad) = taken.push(&row) {
                    return Ok(Some(Looked::Bad(taken.len(), bad)));
                }
                if taken.bytes() > self.config.batch_bytes && taken.len() > 1 {
                    return Ok(Some(Looked::TooLarge(taken.len() - 1)));
                }
            }
            Ok(None)
        });
        match ended.await {
            Ok(None) => {}
            Ok(Some(ended)) => return Ok(ended),
            Err(Failed::Said(said)) => return Ok(Looked::Refused(taken.len(), said)),
            Err(lost) => return Err(lost),
        }
        let known = self.fence.is_ours(known, generation)?;
        let snapshot = Snapshot::parse(known.get(1)).ok_or_else(|| {
            Failed::Lost(OutboxError::Postgres("a snapshot that cannot be read".to_owned()))
        })?;
        let proof = self.proof(client, sequence, known.get(3), known.get(4)).await?;
        let full = taken.len() >= limit;
        if only.is_none() {
            self.adapt_limit(taken.len(), taken.bytes());
        }
        let (batch, own) = taken.finish();
        let last = batch.events.last().and_then(|event| event.order);
        Ok(Looked::Rows(batch, Look { snapshot, proof, own, last, full }))
    }
}
