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

    /// Writes letters of rows, in this order, because a retry puts the rows back in the order of
    /// their letters. Each has as much of its row as the server can hand out. Returns what is
    /// missing in them. One that is there already is not written again.
    ///
    /// Under the fence: whoever takes over finds all letters of this member, and none comes later.
    ///
    /// # Errors
    /// What the server said leaves the session at rest. The first ones may have been written.
    pub(super) async fn bury(
        &self,
        client: &Session,
        generation: i64,
        letters: &[Unwritten<'_>],
    ) -> Result<Vec<Vec<String>>, Failed> {
        let Some(whole) = self.letters.first() else { return Ok(Vec::new()) };
        match self.write(client, generation, letters, whole).await {
            Ok(()) => return Ok(letters.iter().map(|_| whole.missing.clone()).collect()),
            Err(Failed::Said(said)) if said.may_be_of_a_row() => {}
            Err(failed) => return Err(failed),
        }
        // One of them cannot be kept whole.
        let mut missing = Vec::with_capacity(letters.len());
        for letter in letters {
            missing.push(self.write_one(client, generation, letter).await?);
        }
        Ok(missing)
    }

    /// Removes letters of rows that were not passed.
    ///
    /// Under the fence: the same rows may have letters of whoever took over.
    ///
    /// # Errors
    /// What the server said leaves the session at rest, and nothing changed.
    pub(super) async fn remove(
        &self,
        client: &Session,
        generation: i64,
        ids: &[i64],
    ) -> Result<(), Failed> {
        self.run(client, generation, UNDEAD, &[&self.outbox, &ids]).await
    }

    /// The rows were passed: their letters count.
    ///
    /// Under the fence, as [`remove`](Self::remove).
    ///
    /// # Errors
    /// As of [`remove`](Self::remove).
    pub(super) async fn count(
        &self,
        client: &Session,
        generation: i64,
        ids: &[i64],
    ) -> Result<(), Failed> {
        self.run(client, generation, COUNT, &[&self.outbox, &ids]).await
    }

    /// From whole to nothing but its place.
    async fn write_one(
        &self,
        client: &Session,
        generation: i64,
        letter: &Unwritten<'_>,
    ) -> Result<Vec<String>, Failed> {
        let mut refused = String::new();
        for way in &self.letters {
            match self.write(client, generation, std::slice::from_ref(letter), way).await {
                Ok(()) => return Ok(way.missing.clone()),
                Err(Failed::Said(said)) if said.may_be_of_a_row() => refused = said.words,
                Err(failed) => return Err(failed),
            }
        }
        let Unwritten { id, words, reason, .. } = letter;
        let why = if words.is_empty() { reason.as_str() } else { words };
        Err(Failed::Said(Said::only(&format!(
            "{why}; and the row with the order value {id} cannot be kept as a dead letter: \
                {refused}"
        ))))
    }

    /// All of them in one statement, so that their number costs no round trips.
    async fn write(
        &self,
        client: &Session,
        generation: i64,
        letters: &[Unwritten<'_>],
        way: &Letter,
    ) -> Result<(), Failed> {
        let ids: Vec<i64> = letters.iter().map(|letter| letter.id).collect();
        let streams: Vec<Option<&str>> = letters.iter().map(|letter| letter.stream).collect();
        let reasons: Vec<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
        let words = letters.iter().map(|letter| Some(letter.words).filter(|text| !text.is_empty()));
        let words: Vec<Option<&str>> = words.collect();
        let params: [&(dyn ToSql + Sync); 6] =
            [&ids, &streams, &self.outbox, &reasons, &words, &way.missing];
        self.run(client, generation, &way.sql, &params).await
    }

    /// A transaction of one statement that holds the fence.
    async fn run(
        &self,
        client: &Session,
        generation: i64,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(), Failed> {
        let ran = async {
            self.fence.enter(client, generation).await?;
            ask(client.execute(sql, params)).await?;
            ask(client.batch_execute("commit")).await
        };
        let ran = ran.await;
        if let Err(Failed::Said(_)) = &ran {
            ask(client.batch_execute("rollback")).await?;
        }
        ran
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
