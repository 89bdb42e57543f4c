//! Recovery of a kept outbox: what the journal says is the truth. It is shared out anew, and
//! Postgres keeps a copy.

use std::sync::Arc;

use tokio_postgres::types::{ToSql, Type};

use super::super::recovery::PgRecovery;
use super::super::refusal::{failed, within};
use super::super::server::Server;
use super::super::session::Session;
use super::KeptOutbox;
use super::known::Known;
use super::letters::Grave;
use super::missing::missing;
use super::reading::Shared;
use super::unread::{COPIES, copied};
use crate::relay::event::{Acknowledged, Raised};
use crate::relay::kept::healing::{Copied, Found, Happened, Start, server, start};
use crate::relay::kept::history::History;
use crate::relay::kept::journal::{Entered, Journal, NotEntered};
use crate::relay::kept::pieces::Pieces;
use crate::relay::kept::snapshot::Snapshot;
use crate::relay::options::Keep;
use crate::relay::outbox::{Assignment, OutboxError, Recovery};

const FORGET: &str = "delete from outflow.position where relation = $1::oid";
const COPY: &str = "insert into outflow.position \
    (relation, generation, member, batch, pieces, history) values ($1::oid, $2, $3, 0, $4, $5)";
const HISTORY: &str = "select history from outflow.position \
    where relation = $1::oid and history is not null order by generation desc limit 1";
const NOW: &str = "select pg_catalog.pg_current_snapshot()::text";
/// Whether dead letters stand for rows that may be still to come.
const BURIED: &str = "select exists (select from outflow.dead_letter \
    where outbox = $1 and kept is not null and xid::xid8 >= $2::text::xid8)";

/// An open recovery.
pub struct KeptRecovery {
    base: PgRecovery,
    assignment: Assignment,
    /// Where this member would go on in the generation in force.
    entered: Option<Entered>,
    here: Here,
    keep: Keep,
    name: String,
    between: String,
    journal: Arc<Journal>,
    shared: Arc<Shared>,
    known: Arc<Known>,
    grave: Arc<Grave>,
}

/// What this Postgres is.
#[derive(Debug, Clone)]
struct Here {
    server: Server,
    sequence: Option<u32>,
}

/// What Postgres says after the journal was closed. Read before, a member that still works would
/// seem to have read what Postgres does not have.
struct Told {
    now: Snapshot,
    copies: Vec<Copied>,
    history: Option<History>,
}

impl KeptOutbox {
    pub(super) async fn begin_recovery(&self) -> Result<KeptRecovery, OutboxError> {
        let base = self.base.begin_recovery().await?;
        let client = base.client.as_ref().ok_or_else(closed)?;
        let here = self.here(client, base.postgres.clone()?).await?;
        let generation = base.generation();
        let mut assignment = base.assignment();
        let mut entered = None;
        if assignment == Assignment::InForce {
            match self.journal.enter(generation, base.seat).await {
                Ok(found) => entered = Some(found),
                // Nobody works in a generation that is not installed, or that Redis does not know.
                Err(NotEntered::Elsewhere(why)) if base.slots_owned() > 0 => {
                    tracing::debug!(outbox = self.base.config.name, why, "raising anew");
                    assignment = Assignment::Changes;
                }
                Err(NotEntered::Elsewhere(_)) => {}
                Err(NotEntered::Failed(why)) => return Err(OutboxError::Journal(why)),
            }
        }
        Ok(KeptRecovery {
            base,
            assignment,
            entered,
            here,
            keep: self.keep.clone(),
            name: self.base.config.name.clone(),
            between: self.sql.between.clone(),
            journal: Arc::clone(&self.journal),
            shared: Arc::clone(&self.shared),
            known: Arc::clone(&self.known),
            grave: Arc::clone(&self.grave),
        })
    }

    async fn here(&self, client: &Session, server: Server) -> Result<Here, OutboxError> {
        let sequence = client.query_typed(&self.sql.sequence, &[]).await;
        let sequence = sequence.map_err(|error| failed(&error))?;
        let sequence = sequence.first().map(|row| row.get(0));
        Ok(Here { server, sequence })
    }
}

impl KeptRecovery {
    async fn told(&self, client: &Session) -> Result<Told, OutboxError> {
        let oid = self.base.oid;
        let copies = client.query_typed(COPIES, &[(&oid, Type::OID)]).await;
        let copies = copies.map_err(|error| failed(&error))?;
        let copies = copies.iter().map(|row| copied(row).map_err(OutboxError::Postgres));
        let copies = copies.collect::<Result<_, _>>()?;
        let history = client.query_typed(HISTORY, &[(&oid, Type::OID)]).await;
        let history = history.map_err(|error| failed(&error))?;
        let history = history.first().map(|row| {
            let text: &str = row.get(0);
            History::parse(text).ok_or_else(|| {
                OutboxError::Postgres(format!(
                    "the history {text:?} in outflow.position cannot be read: stop all relays, and \
                        write it anew by `outflow position set`"
                ))
            })
        });
        let history = history.transpose()?;
        let now = client.query_typed(NOW, &[]).await.map_err(|error| failed(&error))?;
        let now = Snapshot::parse(now.first().ok_or_else(closed)?.get(0));
        let now = now.map_err(|error| OutboxError::Postgres(error.to_string()))?;
        Ok(Told { now, copies, history })
    }

    /// From here on this member reads on from there.
    async fn enter(&self, client: &Session, pieces: &str) -> Result<(), OutboxError> {
        let pieces = Pieces::parse(pieces).map_err(|error| damaged(&error.to_string()))?;
        let first = pieces.all().iter().map(|piece| piece.position.seen.xmin()).min();
        let first = first.unwrap_or(1).to_string();
        let params = [(&self.name as &(dyn ToSql + Sync), Type::TEXT), (&first, Type::TEXT)];
        let buried = client.query_typed(BURIED, &params).await.map_err(|error| failed(&error))?;
        let buried = buried.first().is_some_and(|row| row.get(0));
        self.known.enter(&self.here.server.timeline, buried, self.here.sequence);
        self.shared.reading(|reading| reading.enter(pieces));
        Ok(())
    }

    fn start(&self, raised: &Raised, told: &Told) -> Result<(Start, Vec<Pieces>), OutboxError> {
        let kept = raised.kept.as_ref();
        let pieces = kept.into_iter().flat_map(|kept| &kept.members);
        let journal: Vec<Pieces> = pieces
            .map(|(_, text)| Pieces::parse(text).map_err(|error| damaged(&error.to_string())))
            .collect::<Result<_, _>>()?;
        let confirmed = kept.map(|kept| kept.copied.clone()).unwrap_or_default();
        let here = self.server();
        let found = Found {
            journal: &journal,
            copies: &told.copies,
            confirmed: &confirmed,
            history: told.history.as_ref(),
            server: raised.server.as_deref(),
            here: &here,
            now: &told.now,
        };
        let start = start(&found, self.keep.on_loss).map_err(|undecided| {
            self.known.halt(&undecided.to_string());
            OutboxError::Changed(undecided.to_string())
        })?;
        Ok((start, journal))
    }

    /// In the transaction that begins the generation: the copies, and what became of dead letters.
    async fn write(
        &self,
        client: &Session,
        generation: i64,
        (members, history): (&[(i32, String)], &History),
        passed: &[Pieces],
    ) -> Result<(), tokio_postgres::Error> {
        let (oid, history) = (self.base.oid, history.to_string());
        client.execute_typed(FORGET, &[(&oid, Type::OID)]).await?;
        for (member, pieces) in members {
            let params: [(&(dyn ToSql + Sync), Type); 5] = [
                (&oid, Type::OID),
                (&generation, Type::INT8),
                (member, Type::INT4),
                (pieces, Type::TEXT),
                (&history, Type::TEXT),
            ];
            client.execute_typed(COPY, &params).await?;
        }
        self.grave.settle(client, passed).await
    }

    fn server(&self) -> String {
        server(&self.here.server.system, &self.here.server.timeline)
    }

    /// How many events are sent again, and says what has happened.
    async fn tell(
        &self,
        client: &Session,
        start: &Start,
        told: &Told,
    ) -> Result<Option<u64>, OutboxError> {
        let outbox = &self.name;
        match &start.happened {
            Happened::Nothing => return Ok(None),
            Happened::PostgresWentBack(why) => {
                self.known.postgres_went_back();
                tracing::error!(
                    outbox,
                    why,
                    from = described(&start.pieces),
                    "Postgres was restored or has failed over: going on from what both positions \
                        have passed; events since then may be delivered twice"
                );
                return Ok(None);
            }
            Happened::JournalIsGone | Happened::RedisWentBack => {}
        }
        let copies: Vec<Pieces> = told.copies.iter().map(|copy| copy.pieces.clone()).collect();
        let missing = missing(client, &self.between, &start.pieces, &copies).await?;
        if missing.is_none() {
            tracing::info!(outbox, "counting the events that are sent again takes too long");
        }
        let (from, to) = (described(&start.pieces), described(&copies));
        if start.happened == Happened::RedisWentBack {
            tracing::warn!(
                outbox,
                from,
                to,
                events = missing,
                "Redis came back in an older state: sending again what it has lost"
            );
        } else {
            tracing::error!(
                outbox,
                on_loss = ?self.keep.on_loss,
                from,
                "the journal in Redis is gone: going on as `on_loss` says"
            );
        }
        Ok(missing)
    }
}

impl Recovery for KeptRecovery {
    fn generation(&self) -> i64 {
        self.base.generation()
    }

    fn server(&self) -> &str {
        self.base.server()
    }

    fn assignment(&self) -> Assignment {
        self.assignment
    }

    fn slots_owned(&self) -> usize {
        self.base.slots_owned()
    }

    fn leads(&self) -> bool {
        self.base.leads()
    }

    fn acknowledged(&self) -> &[Acknowledged] {
        self.base.acknowledged()
    }

    fn loss(&self) -> i64 {
        self.base.loss()
    }

    async fn adopt(mut self) -> Result<(), OutboxError> {
        if let (Some(entered), Some(client)) = (self.entered.take(), &self.base.client) {
            within(self.enter(client, &entered.pieces)).await?;
        }
        self.base.adopt().await
    }

    async fn finish(self, raised: &Raised, lost: bool, oldest: i64) -> Result<u64, OutboxError> {
        let client = self.base.client.as_ref().ok_or_else(closed)?;
        let told = within(self.told(client)).await?;
        let (start, journal) = self.start(raised, &told)?;
        let healed = within(self.tell(client, &start, &told)).await?;
        let shares = &self.base.slots;
        let members = Pieces::share_out(&start.pieces, shares, &start.otherwise);
        if !Pieces::cover_once(members.values()) {
            return Err(damaged("the pieces do not cover each slot once"));
        }
        let texts: Vec<(i32, String)> =
            members.iter().map(|(member, pieces)| (*member, pieces.to_string())).collect();
        // Before the commit: whoever sees the generation in Postgres finds its pieces installed,
        // unless this ends in between; then it is raised anew.
        let (server, generation) = (self.server(), raised.generation);
        let installed = self.journal.install(generation, &server, &texts).await;
        installed.map_err(OutboxError::Journal)?;
        let seat = self.base.seat;
        let entered = match self.journal.enter(generation, seat).await {
            Ok(entered) => entered.pieces,
            // This member owns no slot.
            Err(NotEntered::Elsewhere(_)) if !members.contains_key(&seat) => String::new(),
            Err(NotEntered::Elsewhere(why) | NotEntered::Failed(why)) => {
                return Err(OutboxError::Journal(why));
            }
        };
        let passed = if journal.is_empty() { &start.pieces } else { &journal };
        within(async {
            let copies = (&texts[..], &start.history);
            let written = self.write(client, generation, copies, passed).await;
            written.map_err(|error| failed(&error))
        })
        .await?;
        within(self.enter(client, &entered)).await?;
        let Self { base, shared, journal, known, .. } = self;
        let settled = base.finish(raised, lost, oldest).await;
        match &settled {
            Ok(_) => {
                // Once: a recovery that comes to nothing is followed by another.
                known.healed(healed.unwrap_or(0));
                journal.confirm_copy(Acknowledged { generation, member: seat, batch: 0 });
            }
            Err(_) => shared.reading(|reading| reading.enter(Pieces::default())),
        }
        settled
    }
}

/// Positions in a line for people.
fn described(all: &[Pieces]) -> String {
    let pieces = all.iter().flat_map(Pieces::all).filter(|piece| piece.stream.is_none());
    let seen: Vec<String> = pieces.map(|piece| piece.position.seen.to_string()).collect();
    if seen.is_empty() { "the beginning".to_owned() } else { seen.join(" and ") }
}

fn damaged(what: &str) -> OutboxError {
    OutboxError::Journal(format!("the position in the journal cannot be used: {what}"))
}

fn closed() -> OutboxError {
    OutboxError::Postgres("the recovery is over".to_owned())
}
