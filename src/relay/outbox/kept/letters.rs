//! Dead letters of a kept outbox. The row stays where it is; the letter is written before the
//! append that passes the row, and counts once that append is known. It stays when it is retried or
//! discarded: healing must not send the row.

use tokio_postgres::types::ToSql;

use super::super::fence::Fence;
use super::super::letter::Letter;
use super::super::refusal::{Failed, Said, ask};
use super::super::session::Session;
use crate::relay::event::DeadReason;
use crate::relay::kept::pieces::Pieces;
use crate::relay::outbox::SetAside;

const COUNT: &str = "update outflow.dead_letter set pending = null \
    where outbox = $1 and kept = any ($2) and pending is not null";
const PENDING: &str = "select id, kept, xid, pending, stream from outflow.dead_letter \
    where outbox = $1 and pending is not null";
const SETTLED: &str = "update outflow.dead_letter set pending = null where id = any ($1)";
const REMOVED: &str = "delete from outflow.dead_letter where id = any ($1)";
const STREAM: &str = "update outflow.dead_letter set stream = $3 \
    where outbox = $1 and kept = $2 and pending is not null and stream is null";
const UNDEAD: &str = "delete from outflow.dead_letter \
    where outbox = $1 and kept = any ($2) and pending is not null";

/// Writes letters of one outbox.
#[derive(Debug)]
pub(super) struct Grave {
    outbox: String,
    letters: Vec<Letter>,
    fence: Fence,
}

/// A row that nobody can read whole, and that is to have a letter when its turn has come.
pub(super) struct Doomed {
    /// Its order value.
    pub(super) id: i64,
    /// Its primary key.
    pub(super) row: String,
    pub(super) reason: DeadReason,
    /// The reason, in the server's words.
    pub(super) words: String,
}

/// A letter to write.
pub(super) struct Unwritten<'a> {
    /// The order value of its row.
    pub(super) id: i64,
    /// Where it was on its way to, if that is known.
    pub(super) stream: Option<&'a str>,
    pub(super) reason: DeadReason,
    /// The reason in words, or nothing.
    pub(super) words: &'a str,
}

impl Doomed {
    /// It has its letter, which lacks these fields.
    pub(super) fn aside(self, missing: Vec<String>) -> SetAside {
        let Self { row, reason, words, .. } = self;
        SetAside::Dead { reason, event: row, words, missing }
    }
}

impl<'a> From<&'a Doomed> for Unwritten<'a> {
    fn from(doomed: &'a Doomed) -> Self {
        let Doomed { id, reason, words, .. } = doomed;
        Self { id: *id, stream: None, reason: *reason, words }
    }
}

impl Grave {
    pub(super) fn new(outbox: &str, letters: &[Letter], fence: Fence) -> Self {
        Self { outbox: outbox.to_owned(), letters: letters.to_vec(), fence }
    }

    /// Writes letters of rows, all of them or none: in this order, because a retry puts the rows
    /// back in the order of their letters. Each has as much of its row as the server can hand out.
    /// Returns what is missing in them. One that is there already is not written again.
    ///
    /// Under the fence: whoever takes over finds all letters of this member, and none comes later.
    ///
    /// # Errors
    /// What the server said leaves the session at rest; then none is written.
    pub(super) async fn bury(
        &self,
        client: &Session,
        generation: i64,
        letters: &[Unwritten<'_>],
    ) -> Result<Vec<Vec<String>>, Failed> {
        // Most rows are kept whole, and need no savepoint each.
        let written = self.fenced(client, generation, self.write_whole(client, letters)).await;
        match written {
            Err(Failed::Said(said)) if said.may_be_of_a_row() => {
                self.fenced(client, generation, self.write(client, letters)).await
            }
            written => written,
        }
    }

    /// Removes letters of rows that were not passed.
    ///
    /// Under the fence: the same rows may have letters of whoever took over.
    ///
    /// # Errors
    /// As of [`bury`](Self::bury).
    pub(super) async fn remove(
        &self,
        client: &Session,
        generation: i64,
        ids: &[i64],
    ) -> Result<(), Failed> {
        self.fenced(client, generation, self.change(client, UNDEAD, ids)).await
    }

    async fn change(&self, client: &Session, sql: &str, ids: &[i64]) -> Result<(), Failed> {
        ask(client.execute(sql, &[&self.outbox, &ids])).await.map(drop)
    }

    /// In a transaction of its own.
    async fn fenced<T: Send>(
        &self,
        client: &Session,
        generation: i64,
        step: impl Future<Output = Result<T, Failed>> + Send,
    ) -> Result<T, Failed> {
        let outcome = async {
            self.fence.enter(client, generation).await?;
            let done = step.await?;
            ask(client.batch_execute("commit")).await?;
            Ok(done)
        };
        let outcome = outcome.await;
        if let Err(Failed::Said(_)) = &outcome {
            ask(client.batch_execute("rollback")).await?;
        }
        outcome
    }

    async fn write_whole(
        &self,
        client: &Session,
        letters: &[Unwritten<'_>],
    ) -> Result<Vec<Vec<String>>, Failed> {
        let whole = self.letters.first().ok_or_else(|| Failed::Said(Said::only("no statement")))?;
        for letter in letters {
            self.write_one(client, letter, whole).await?;
        }
        Ok(letters.iter().map(|_| whole.missing.clone()).collect())
    }

    async fn write(
        &self,
        client: &Session,
        letters: &[Unwritten<'_>],
    ) -> Result<Vec<Vec<String>>, Failed> {
        let mut missing = Vec::new();
        for letter in letters {
            missing.push(self.write_what_can_be(client, letter).await?);
        }
        Ok(missing)
    }

    async fn write_what_can_be(
        &self,
        client: &Session,
        letter: &Unwritten<'_>,
    ) -> Result<Vec<String>, Failed> {
        let mut refused = Said::only("no statement");
        for way in &self.letters {
            ask(client.batch_execute("savepoint letter")).await?;
            match self.write_one(client, letter, way).await {
                Ok(()) => return Ok(way.missing.clone()),
                Err(failed) => refused = failed.said()?,
            }
            ask(client.batch_execute("rollback to letter")).await?;
            if !refused.may_be_of_a_row() {
                return Err(Failed::Said(refused));
            }
        }
        let Unwritten { id, words, reason, .. } = letter;
        let why = if words.is_empty() { reason.as_str() } else { words };
        Err(Failed::Said(Said::only(&format!(
            "{why}; and the row with the order value {id} cannot be kept as a dead letter: {}",
            refused.words
        ))))
    }

    async fn write_one(
        &self,
        client: &Session,
        letter: &Unwritten<'_>,
        way: &Letter,
    ) -> Result<(), Failed> {
        let (any, name) = (None::<String>, letter.reason.as_str());
        let words = Some(letter.words).filter(|words| !words.is_empty());
        let params: [&(dyn ToSql + Sync); 6] =
            [&letter.id, &any, &self.outbox, &name, &words, &way.missing];
        let statement = ask(client.prepare_cached(&way.sql)).await?;
        ask(client.execute(statement, &params)).await?;
        if let Some(stream) = letter.stream {
            let params: [&(dyn ToSql + Sync); 3] = [&self.outbox, &letter.id, &stream];
            let statement = ask(client.prepare_cached(STREAM)).await?;
            ask(client.execute(statement, &params)).await?;
        }
        Ok(())
    }

    /// The rows were passed: their letters count.
    ///
    /// Under the fence, as [`remove`](Self::remove).
    ///
    /// # Errors
    /// As of [`bury`](Self::bury).
    pub(super) async fn count(
        &self,
        client: &Session,
        generation: i64,
        ids: &[i64],
    ) -> Result<(), Failed> {
        self.fenced(client, generation, self.change(client, COUNT, ids)).await
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
