//! Dead letters of a kept outbox. The row stays where it is; the letter is written before the
//! append that passes the row, and counts once that append is known. It stays when it is retried or
//! discarded: healing must not send the row.

use tokio_postgres::types::ToSql;

use super::super::letter::Letter;
use super::super::refusal::{Said, ask, failed};
use super::super::session::Session;
use crate::relay::event::DeadReason;
use crate::relay::kept::pieces::Pieces;
use crate::relay::outbox::OutboxError;

const BEGIN: &str = "begin isolation level read committed read write";
const COUNT: &str = "update outflow.dead_letter set pending = null \
    where outbox = $1 and kept = any ($2) and pending is not null";
const PENDING: &str = "select id, kept, xid, pending, stream from outflow.dead_letter \
    where outbox = $1 and pending is not null";
const SETTLED: &str = "update outflow.dead_letter set pending = null where id = any ($1)";
const REMOVED: &str = "delete from outflow.dead_letter where id = any ($1)";
const STREAM: &str = "update outflow.dead_letter set stream = $3 \
    where outbox = $1 and kept = $2 and pending is not null and stream is null";

/// Writes letters of one outbox.
#[derive(Debug)]
pub(super) struct Grave {
    outbox: String,
    letters: Vec<Letter>,
}

impl Grave {
    pub(super) fn new(outbox: &str, letters: &[Letter]) -> Self {
        Self { outbox: outbox.to_owned(), letters: letters.to_vec() }
    }

    /// Writes the letter of a row, as much of it as the server can hand out. Returns what is
    /// missing. Once it is there, it is not written again.
    ///
    /// # Errors
    /// Postgres is lost; the inner one: the server's words.
    pub(super) async fn bury(
        &self,
        client: &Session,
        id: i64,
        stream: Option<&str>,
        reason: DeadReason,
        words: &str,
    ) -> Result<Result<Vec<String>, Said>, OutboxError> {
        let (any, name) = (None::<String>, reason.as_str());
        let words = Some(words).filter(|words| !words.is_empty());
        let mut refused = Said::only("no statement");
        for letter in &self.letters {
            let params: [&(dyn ToSql + Sync); 6] =
                [&id, &any, &self.outbox, &name, &words, &letter.missing];
            // What the server refuses ends the transaction of a lent session.
            if client.is_lent() {
                client.begin(BEGIN).await?;
            }
            match ask(client.execute(&letter.sql, &params)).await {
                Ok(_) => {
                    if let Some(stream) = stream {
                        let params: [&(dyn ToSql + Sync); 3] = [&self.outbox, &id, &stream];
                        client.execute(STREAM, &params).await.map_err(|error| failed(&error))?;
                    }
                    if client.is_lent() {
                        ask(client.batch_execute("commit")).await?;
                    }
                    return Ok(Ok(letter.missing.clone()));
                }
                Err(failed) => refused = failed.said().map_err(OutboxError::from)?,
            }
            if client.is_lent() {
                ask(client.batch_execute("rollback")).await?;
            }
            if !refused.may_be_of_a_row() {
                break;
            }
        }
        Ok(Err(refused))
    }

    /// The rows were passed.
    pub(super) async fn count(&self, client: &Session, ids: &[i64]) -> Result<(), OutboxError> {
        client.execute(COUNT, &[&self.outbox, &ids]).await.map_err(|error| failed(&error))?;
        Ok(())
    }

    /// In a recovery: letters of rows that were passed count, the others were never needed. Their
    /// rows are read again.
    pub(super) async fn settle(
        &self,
        client: &Session,
        all: &[Pieces],
    ) -> Result<(), tokio_postgres::Error> {
        let (mut passed, mut ahead) = (Vec::new(), Vec::new());
        for row in client.query(PENDING, &[&self.outbox]).await? {
            let (letter, id): (i64, Option<i64>) = (row.get(0), row.get(1));
            let number =
                |at: usize| row.get::<_, Option<&str>>(at).and_then(|text| text.parse().ok());
            let (xid, slot) = (number(2), row.get::<_, Option<&str>>(3));
            let slot = slot.and_then(|slot| slot.parse().ok());
            let stream: Option<&str> = row.get(4);
            let is_passed = id.zip(xid).zip(slot).is_some_and(|((id, xid), slot)| {
                all.iter().any(|pieces| pieces.have_passed(slot, stream, xid, id))
            });
            if is_passed { passed.push(letter) } else { ahead.push(letter) }
        }
        client.execute(SETTLED, &[&passed]).await?;
        client.execute(REMOVED, &[&ahead]).await?;
        Ok(())
    }
}
