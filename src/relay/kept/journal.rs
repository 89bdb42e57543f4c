//! The journal of a kept outbox in Redis: where each member is, and who may move on.
//!
//! A new generation begins in two steps. [`Journal::raise`] makes every earlier position stale and
//! closes the journal, so that nobody appends while the pieces are shared out anew;
//! [`Journal::install`] writes the pieces of every member and opens it. A member then
//! [enters](Journal::enter).

use parking_lot::Mutex;
use uuid::Uuid;

use crate::relay::event::Acknowledged;
use crate::relay::sink::ask::{self, Raise};
use crate::relay::sink::wire::{number, unexpected};
use crate::relay::sink::{GENERATIONS_KEPT, Position, Raised, journal_key};
use outflow_connect::redis::{Args, Redis, Reply, Script};

/// The journal of one kept outbox.
#[derive(Debug)]
pub struct Journal {
    redis: Redis,
    key: String,
    raise: Raise,
    install: Script,
    memory: Mutex<Memory>,
}

/// What the next append needs to know.
#[derive(Debug, Default)]
struct Memory {
    /// The last generation that was raised, and what the raise has drawn.
    raised: Option<(i64, String)>,
    /// Generation, member and nonce of the pieces that this member works from.
    entered: Option<(i64, i32, String)>,
    /// The last batch whose copy in Postgres is confirmed, until the journal has it.
    copied: Option<Acknowledged>,
}

/// What a member goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Number of the last batch that it appended in this generation; 0: none.
    pub batch: u64,
    /// Its pieces, as text.
    pub pieces: String,
}

/// Why a member cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotEntered {
    /// The journal is missing, closed, at another generation, or has no pieces for the member.
    #[error("{0}")]
    Elsewhere(String),
    /// Redis did not answer, or refused.
    #[error("{0}")]
    Failed(String),
}

/// What is in the journal, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalState {
    /// The generation in force.
    pub generation: i64,
    /// Whether its pieces are installed.
    pub open: bool,
    /// The Postgres that the pieces belong to.
    pub server: Option<String>,
    /// Each member's pieces, as text, by member.
    pub members: Vec<(i32, String)>,
    /// The last batch of each member and generation, in their order.
    pub last: Vec<Acknowledged>,
    /// For each member and generation, the last batch whose copy in Postgres is confirmed.
    pub copied: Vec<Acknowledged>,
}

impl Journal {
    /// `journal` identifies the outbox (a uuid made by `migrate`), as for the sink of an outbox
    /// whose rows are deleted. `tag` is the hash tag of all its streams, used on a cluster only.
    pub fn new(redis: Redis, journal: &str, tag: Option<&str>) -> Self {
        let tag = tag.filter(|_| redis.is_cluster());
        Self {
            redis,
            key: journal_key(journal, tag),
            raise: Raise::default(),
            install: Script::new(include_str!("keep_install.lua")),
            memory: Mutex::default(),
        }
    }

    /// Key of the journal in Redis.
    pub fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Starts a new generation, above both `known` (Postgres's) and the journal's, and closes the
    /// journal. [`Raised::appended`] has rows if the outbox was one whose rows are deleted.
    ///
    /// # Errors
    /// Why it could not; repeating it is safe.
    pub async fn raise(&self, known: i64) -> Result<Raised, String> {
        // Rows are not named: those of a kept outbox are not settled one by one.
        let drawn = random();
        let raised = self.raise.run(&self.redis, &self.key, known, ["", "", &drawn]).await?;
        self.memory.lock().raised = Some((raised.generation, drawn));
        Ok(raised)
    }

    /// Writes what each member of this generation starts from, and opens the journal. The pieces of
    /// all members together must cover each slot exactly once. Whatever an earlier generation left
    /// behind is removed: its records, its pieces, and the copies that it confirmed.
    ///
    /// # Errors
    /// Nothing was installed, because the journal is not the one that the last
    /// [`raise`](Self::raise) has closed, or Redis refused; or there is no answer. The caller
    /// raises again: a repetition would find open what it had opened itself.
    pub async fn install(
        &self,
        generation: i64,
        server: &str,
        members: &[(i32, String)],
    ) -> Result<(), String> {
        let drawn = self.memory.lock().raised.clone();
        let drawn = drawn.filter(|(raised, _)| *raised == generation);
        let drawn = drawn.map(|(_, drawn)| drawn).unwrap_or_default();
        let mut args = Args::with_capacity(4 + 3 * members.len());
        args.int(generation).text(drawn).text(server).int(GENERATIONS_KEPT);
        for (member, pieces) in members {
            args.int(*member).text(random()).text(pieces.as_str());
        }
        let reply = self.redis.script(&self.install, &[&self.key], args).await;
        match reply.map_err(|failure| failure.to_string())? {
            Reply::Int(1) => Ok(()),
            Reply::Text(refused) => {
                let refused = String::from_utf8_lossy(&refused);
                Err(format!(
                    "cannot install the positions of generation {generation} in Redis: {}",
                    refused.trim_start_matches('-')
                ))
            }
            other @ (Reply::Int(_) | Reply::Nil | Reply::List(_)) => Err(unexpected(&other)),
        }
    }

    /// What a member of this generation goes on from. The next appends of it are those of a member
    /// that started from these pieces. Changes nothing in Redis.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub async fn enter(&self, generation: i64, member: i32) -> Result<Entered, NotEntered> {
        let of = |kind: &str| format!("{kind}:{member}");
        let last = format!("last:{generation}:{member}");
        let (kept, nonce) = (of("kept"), of("nonce"));
        let fields = Args::from([self.key.as_str(), "generation", "open", &kept, &nonce, &last]);
        let reply = self.redis.call("HMGET", fields).await;
        let reply = reply.map_err(|failure| NotEntered::Failed(failure.to_string()))?;
        let [known, open, pieces, nonce, last] = reply.items() else {
            return Err(NotEntered::Failed(unexpected(&reply)));
        };
        let elsewhere = |why: String| Err(NotEntered::Elsewhere(why));
        let Some(known) = known.string() else {
            return elsewhere("there is no journal in Redis".to_owned());
        };
        if known != generation.to_string() {
            return elsewhere(format!("the journal is at generation {known}, not {generation}"));
        }
        if open.int() != Some(1) {
            return elsewhere(format!("the journal of generation {generation} is closed"));
        }
        let filled = |reply: &Reply| reply.string().filter(|text| !text.is_empty());
        let (Some(pieces), Some(nonce)) = (filled(pieces), filled(nonce)) else {
            return elsewhere(format!(
                "the journal of generation {generation} has no pieces for member {member}"
            ));
        };
        self.memory.lock().entered = Some((generation, member, nonce));
        Ok(Entered { batch: number(last), pieces })
    }

    /// The copy of this batch's position in Postgres is confirmed. The next append of its member
    /// and generation tells the journal, or the next question whether one is possible.
    pub fn confirm_copy(&self, at: Acknowledged) {
        self.memory.lock().copied = Some(at);
    }

    /// What is in the journal; `None` if there is none.
    ///
    /// # Errors
    /// Redis refuses or does not answer, or the key holds something else.
    pub async fn state(&self) -> Result<Option<JournalState>, String> {
        let reply = self.redis.call("HGETALL", Args::from([self.key.as_str()])).await;
        let reply = reply.map_err(|failure| failure.to_string())?;
        let mut state = JournalState {
            generation: 0,
            open: false,
            server: None,
            members: Vec::new(),
            last: Vec::new(),
            copied: Vec::new(),
        };
        let mut generation = None;
        for pair in reply.items().chunks_exact(2) {
            let Some(field) = pair[0].string() else { continue };
            let value = || pair[1].string().filter(|text| !text.is_empty());
            match field.as_str() {
                "generation" => generation = pair[1].int(),
                "open" => state.open = pair[1].int() == Some(1),
                "server" => state.server = value(),
                _ => {
                    let pieces = ask::member(&field).zip(value());
                    state.members.extend(pieces);
                    state.last.extend(ask::acknowledged("last:", &field, &pair[1]));
                    let copied = ask::acknowledged("copied:", &field, &pair[1]);
                    state.copied.extend(copied.filter(|_| value().is_some()));
                }
            }
        }
        if reply.items().is_empty() {
            return Ok(None);
        }
        let no_generation = || {
            format!(
                "the journal {:?} has no generation; was its key written to by something else?",
                self.key
            )
        };
        state.generation = generation.ok_or_else(no_generation)?;
        state.members.sort_unstable();
        let place = |at: &Acknowledged| (at.generation, at.member);
        state.last.sort_unstable_by_key(place);
        state.copied.sort_unstable_by_key(place);
        Ok(Some(state))
    }

    /// The nonce for an append at this position; empty, which fits no journal, if the member has
    /// not entered.
    pub(super) fn nonce(&self, at: Position) -> String {
        let memory = self.memory.lock();
        let entered = memory.entered.as_ref();
        let same = entered
            .filter(|(generation, member, _)| (*generation, *member) == (at.generation, at.member));
        same.map_or_else(String::new, |(_, _, nonce)| nonce.clone())
    }

    /// The copy that an append at this position is to tell the journal of.
    pub(super) fn copy(&self, at: Position) -> Option<Acknowledged> {
        let is_mine = |copied: &Acknowledged| {
            (copied.generation, copied.member) == (at.generation, at.member)
        };
        self.memory.lock().copied.filter(is_mine)
    }

    /// The journal was told of this one.
    pub(super) fn told(&self, copy: Option<Acknowledged>) {
        let mut memory = self.memory.lock();
        if memory.copied == copy {
            memory.copied = None;
        }
    }
}

/// A text that nobody else draws.
fn random() -> String {
    Uuid::new_v4().simple().to_string()
}
