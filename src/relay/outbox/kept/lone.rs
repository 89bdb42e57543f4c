//! One row by itself: when a read was refused, this finds out whether a row is the reason.

use super::super::lease::Lease;
use super::super::refusal::Failed;
use super::super::row::BadRow;
use super::KeptOutbox;
use super::claim::Step;
use super::letters::Doomed;
use super::patience::Reader;
use super::read::{Asked, Bounds, Looked, Read, as_limit};
use crate::relay::event::DeadReason;
use crate::relay::kept::pieces::{Next, Piece};
use crate::relay::kept::snapshot::Snapshot;
use crate::relay::outbox::OutboxError;

impl KeptOutbox {
    pub(super) async fn looked(
        &self,
        (client, piece): (&Lease, &Piece),
        is_whole: bool,
        read: impl Future<Output = Result<Looked, Failed>> + Send,
    ) -> Result<Looked, OutboxError> {
        let reader = Reader { client, piece, is_whole };
        self.patiently(reader, read, Looked::refusal).await.map_err(OutboxError::from)
    }

    /// The next row by itself. Which one it is, is fixed before: a row that is committed meanwhile
    /// is another one. `refused`: why it is looked at.
    pub(super) async fn lone(
        &self,
        client: &Lease,
        piece: &Piece,
        next: &Next,
        refused: String,
    ) -> Result<Step, OutboxError> {
        let reader = Reader { client, piece, is_whole: false };
        let found = self.patiently(reader, self.peek(client, piece, next), |_| None).await;
        let Some((id, row, snapshot)) = found.map_err(Failed::refused)? else {
            return Err(OutboxError::Refused(refused));
        };
        let target = next.target.clone().unwrap_or_else(|| snapshot.clone());
        let next = Next { target: Some(target), ..next.clone() };
        let config = &self.base.config;
        let bytes = config.event_bytes_max.max(config.batch_bytes);
        let bounds = Bounds { rows: 1, bytes, only: Some(id) };
        let read = self.read(client, piece, &next, bounds);
        let (reason, words) = match self.looked((client, piece), false, read).await? {
            Looked::Rows(read) => return Ok(Step::Rows(Box::new(Read { snapshot, ..read }))),
            Looked::Bad(bad) => (reason(&bad), bad.to_string()),
            Looked::Refused(_, said) if said.may_be_of_a_row() => {
                (DeadReason::Unreadable, said.words)
            }
            Looked::Refused(_, said) => return Err(OutboxError::Refused(said.words)),
        };
        Ok(Step::Doomed(Doomed { id, row, reason, words }, snapshot))
    }

    /// Order value and primary key of the next row, which cannot be read whole.
    async fn peek(
        &self,
        client: &Lease,
        piece: &Piece,
        next: &Next,
    ) -> Result<Option<(i64, String, Snapshot)>, Failed> {
        let peek = client.prepare_cached(&self.sql.peek).await?;
        let asked = Asked::new(piece, next, self.known());
        let (limit, cap) = (as_limit(1), 0);
        let params = asked.params(&limit, &cap, &self.base.marker);
        let rows = client.query(&peek, &params).await?;
        let [header, row, ..] = rows.as_slice() else { return Ok(None) };
        let bad = |what: &str| Failed::Lost(OutboxError::Postgres(what.to_owned()));
        let snapshot = Snapshot::parse(header.get(3)).map_err(|error| bad(&error.to_string()))?;
        let order: Option<&str> = row.get(1);
        let id = order.and_then(|order| order.parse().ok()).ok_or_else(|| bad("no order value"))?;
        let row: Option<String> = row.get(2);
        Ok(Some((id, row.unwrap_or_default(), snapshot)))
    }
}

fn reason(bad: &BadRow) -> DeadReason {
    match bad {
        BadRow::TooLong => DeadReason::TooLarge,
        BadRow::Null(_) => DeadReason::NullColumn,
        BadRow::Unreadable(_) => DeadReason::Unreadable,
    }
}
