//! Claiming the first row of one stream, which tries a stream that was parked.

use futures_util::TryFutureExt;
use tokio_postgres::types::ToSql;

use super::{Looked, PgClaim};
use crate::relay::outbox::cursor::BEGINNING;
use crate::relay::outbox::examine::{Found, Line};
use crate::relay::outbox::lease::{Lease, roll_back, roll_back_and_close};
use crate::relay::outbox::pg_outbox::PgOutbox;
use crate::relay::outbox::refusal::{Failed, ask_for, within};
use crate::relay::outbox::state::locked;
use crate::relay::outbox::turn::{REMEDY, Turn};
use crate::relay::outbox::{First, OutboxError};

impl PgOutbox {
    /// Takes one row of this stream. It says nothing of the others: the cursor stays where it is.
    pub(in crate::relay::outbox) async fn take_of(
        &self,
        stream: &str,
    ) -> Result<First<PgClaim>, OutboxError> {
        let line = Line { parked: &[], only: Some(stream) };
        loop {
            match self.attempt_of(stream).await? {
                Ok(first) => return Ok(first),
                Err(_) if self.others_ended().await => {}
                Err(words) => {
                    return match self.examine(line, &words).await {
                        Ok(Found::SetAside) => Ok(First::SetAside),
                        // The next claim may find out more, which looks at other rows, too.
                        Ok(Found::Fine) | Err(OutboxError::Refused(_)) => Ok(First::Later),
                        Err(error) => Err(error),
                    };
                }
            }
        }
    }

    /// One try. The inner error: why the first row is refused.
    async fn attempt_of(
        &self,
        stream: &str,
    ) -> Result<Result<First<PgClaim>, String>, OutboxError> {
        let client = Lease::new(self.connection().await?);
        let turn = self.turn(&client, stream).await;
        let words = match self.look(&client, &[], true, Some(stream)).await {
            Ok(Looked::Rows(batch, _)) if batch.events.is_empty() => {
                return self.unclaimed(client, &turn).await.map(Ok);
            }
            Ok(Looked::Rows(batch, _)) => {
                let claim = within(self.hold(client, batch, None)).await?;
                return Ok(Ok(claim.map_or(First::Later, First::Claimed)));
            }
            Ok(Looked::TooLarge(_)) => {
                within(roll_back(client)).await?;
                "more bytes than a batch may have".to_owned()
            }
            Ok(Looked::Bad(_, bad)) => {
                within(roll_back(client)).await?;
                bad.to_string()
            }
            Ok(Looked::Refused(_, said)) => {
                within(roll_back_and_close(client)).await?;
                if !said.may_be_too_much() {
                    return Err(OutboxError::Refused(said.words));
                }
                // To look at the rows would take as long.
                if said.was_cut_off() {
                    return Ok(Ok(First::Later));
                }
                said.words
            }
            Err(error @ (OutboxError::Stale(_) | OutboxError::InFlight(_))) => {
                within(roll_back(client)).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        Ok(Err(words))
    }

    /// What it means that there was no row to claim: one that somebody has locked was skipped, and
    /// one that is held back was left out. Looks once more, for any row, in the same transaction.
    async fn unclaimed(&self, client: Lease, turn: &Turn) -> Result<First<PgClaim>, OutboxError> {
        let slots = locked(&self.state).slots();
        let (none, stream) = (None::<Vec<String>>, turn.of.as_str());
        let params: [&(dyn ToSql + Sync); 7] =
            [&BEGINNING, &none, &slots, &none, &none, &1_i64, &stream];
        let limit = turn.patience.answer_limit();
        let list = client.query(&self.table.sql.one.list, &params).map_err(Failed::from);
        match ask_for(limit, list).await {
            Ok(rows) => {
                within(roll_back(client)).await?;
                Ok(if rows.is_empty() { First::Nothing } else { First::Later })
            }
            Err(failed) => {
                let said = failed.said()?;
                within(roll_back_and_close(client)).await?;
                if self.cut_off(turn, Some(&said)) {
                    self.tell_cut_off(turn, REMEDY);
                }
                Ok(First::Later)
            }
        }
    }
}
