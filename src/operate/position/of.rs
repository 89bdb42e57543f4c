//! A kept outbox and its journal, and positions as they are shown.

use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::relay::event::Acknowledged;
use crate::relay::kept::healing::{Copied, server};
use crate::relay::kept::journal::{Journal, JournalState};
use crate::relay::kept::pieces::{Piece, Pieces};
use crate::relay::kept::position::BELOW_ALL;
use crate::relay::options::OutboxOptions;
use outflow_connect::redis::Redis;

/// A kept outbox as Postgres knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Its table.
    pub oid: u32,
    /// Names its journal.
    pub journal: String,
    /// The generation in force.
    pub generation: i64,
    /// Which Postgres this is; `None`: a standby.
    pub server: Option<String>,
    /// Whether the time column exists.
    pub has_time: bool,
}

/// A part of a position, in words that say which rows were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// How many slots it is about.
    pub slots: u32,
    /// The only stream of it; null: all that have no part of their own.
    pub stream: Option<String>,
    /// Rows of the transactions that this snapshot sees were read; null: of none.
    pub seen: Option<String>,
    /// Rows that this snapshot sees are being read.
    pub target: Option<String>,
    /// Up to which order value those of the target were read.
    pub up_to: Option<i64>,
}

impl Part {
    /// As a line.
    pub fn told(&self) -> String {
        let Self { slots, stream, seen, target, up_to } = self;
        let stream = stream.as_ref().map(|name| format!(" of stream {name}")).unwrap_or_default();
        let seen = seen.as_ref().map_or_else(
            || "before every row".to_owned(),
            |seen| format!("behind the transactions of {seen}"),
        );
        let up_to = up_to.map(|up_to| format!(" up to {up_to}")).unwrap_or_default();
        let target = target
            .as_ref()
            .map(|target| format!(", and behind the rows{up_to} of {target}"))
            .unwrap_or_default();
        format!("{slots} slots{stream}: {seen}{target}")
    }
}

impl From<&Piece> for Part {
    fn from(piece: &Piece) -> Self {
        let position = &piece.position;
        let target = position.target.as_ref();
        Self {
            slots: piece.slots.count_ones(),
            stream: piece.stream.clone(),
            seen: (position.seen.xmax() > 1).then(|| position.seen.to_string()),
            target: target.map(|target| target.snapshot.to_string()),
            up_to: target.map(|target| target.mark).filter(|mark| *mark > BELOW_ALL),
        }
    }
}

pub(super) fn parts(all: &[Pieces]) -> Vec<Part> {
    all.iter().flat_map(Pieces::all).map(Part::from).collect()
}

/// For conditions that are made from copies.
pub fn as_copies(all: &[Pieces]) -> Vec<Copied> {
    let at = Acknowledged { generation: 0, member: 0, batch: 0 };
    all.iter().map(|pieces| Copied { at, pieces: pieces.clone() }).collect()
}

/// What the journal says.
#[derive(Debug)]
pub struct Journaled {
    /// The journal.
    pub journal: Journal,
    /// What is in it; `None`: there is none.
    pub state: Option<JournalState>,
    /// The members' pieces.
    pub pieces: Vec<Pieces>,
}

impl Journaled {
    /// Reads the journal.
    ///
    /// # Errors
    /// Redis refuses or does not answer, or what is there cannot be read.
    pub async fn read(
        redis: &Redis,
        outbox: &OutboxOptions,
        registered: &Registered,
    ) -> Result<Self, String> {
        let tag = outbox.stream.hash_tag();
        let journal = Journal::new(redis.clone(), &registered.journal, tag);
        let state = journal.state().await?;
        let members = state.iter().flat_map(|state| &state.members);
        let pieces = members
            .map(|(_, text)| Pieces::parse(text))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the position in the journal cannot be read: {error}"))?;
        Ok(Self { journal, state, pieces })
    }
}

/// Looks an outbox up; `None`: it is not registered.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn registered(
    client: &Client,
    outbox: &OutboxOptions,
) -> Result<Option<Registered>, tokio_postgres::Error> {
    let (schema, table) = (outbox.table.schema(), outbox.table.table());
    let time = outbox.columns.time.as_deref().unwrap_or_default();
    let rows = client
        .query_typed(
            include_str!("sql/registered.sql"),
            &[(&schema, Type::TEXT), (&table, Type::TEXT), (&time, Type::TEXT)],
        )
        .await?;
    Ok(rows.first().map(|row| {
        let system: Option<String> = row.get("system");
        let timeline: Option<String> = row.get("timeline");
        Registered {
            oid: row.get("oid"),
            journal: row.get("journal"),
            generation: row.get("generation"),
            server: system.zip(timeline).map(|(system, timeline)| server(&system, &timeline)),
            has_time: row.get("has_time"),
        }
    }))
}
