//! When a claim of one row was refused: which row it is, and what is to become of it.
//!
//! The next rows are tried one after another, each behind a savepoint. One that can never be
//! delivered (too large, not readable, a null where a value is needed) goes to the dead letters,
//! with the server's words and without being fetched. One that the server hands out but does not
//! let go, or not now for reasons of its own, is held back with its key; but only if another row
//! can be taken, or if it is the row that is refused: a delete of no row at all is granted. Else it
//! is the table or the server, and everything waits.

mod verdict;

use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;

use super::cursor::BEGINNING;
use super::lease::{Lease, abandon, roll_back};
use super::pg_outbox::PgOutbox;
use super::refusal::{Failed, Said, ask};
use super::row::{BadRow, Rows};
use super::session::Session;
use super::state::locked;
use super::{OutboxError, SetAside};
use crate::relay::event::DeadReason;
use verdict::{Named, Suspect, Verdict};

/// Rows that are looked at in one step.
const ROWS_MAX: i64 = 200;
/// A step ends after so long, so that it does not hold up a stop.
const STEP_MAX: Duration = Duration::from_secs(5);
/// So many rows are refused and none is granted: it is not the rows.
const SUSPECTS_MAX: usize = 20;
/// As many are looked at however long it takes, or rows that are refused only after a timeout would
/// hold up all others.
const SUSPECTS_MIN: usize = 3;

/// What an examination has come to.
pub(super) enum Found {
    /// Rows were set aside.
    SetAside,
    /// The next row can be claimed alone, however large it is.
    Fine,
}

/// What of an examination is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// The rows that went to the dead letters.
    Deaths,
    /// A trial.
    Nothing,
}

/// Which rows are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Without those of these streams.
    pub(super) parked: &'a [String],
    /// Those of this stream alone, also if the cursor has passed them.
    pub(super) only: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// The next ones.
    pub(super) fn behind(parked: &'a [String]) -> Self {
        Self { parked, only: None }
    }
}

/// What all steps of one examination use.
struct Desk<'a> {
    client: &'a Session,
    from: i64,
    parked: Option<&'a [String]>,
    only: Option<&'a str>,
    slots: Option<i64>,
    rows: Option<Vec<String>>,
    keys: Option<Vec<String>>,
    generation: i64,
}

impl PgOutbox {
    /// Finds out why a claim of one row was refused, and sets aside what stands in the way.
    pub(super) async fn examine(
        &self,
        line: Line<'_>,
        refusal: &str,
    ) -> Result<Found, OutboxError> {
        self.examined(line, refusal, Keep::Deaths).await
    }

    /// As [`examine`](Self::examine); nothing of it stays if it is `Keep::Nothing`.
    pub(super) async fn examined(
        &self,
        Line { parked, only }: Line<'_>,
        refusal: &str,
        keep: Keep,
    ) -> Result<Found, OutboxError> {
        let client = Lease::new(self.connection().await?);
        let bounds = self.bounds();
        let (rows, keys) = bounds.held.unzip();
        let floors = bounds.floors.iter().copied().chain(bounds.unseen.map(|(_, floor)| floor));
        let from = floors.fold(bounds.position, i64::min);
        let from = if only.is_some() { BEGINNING } else { from };
        let parked = (!parked.is_empty()).then_some(parked);
        let (slots, generation) = (bounds.slots, bounds.generation);
        let desk = Desk { client: &client, from, parked, only, slots, rows, keys, generation };
        let mut aside = Vec::new();
        let outcome = self.walk(&desk, refusal, &mut aside).await;
        match outcome {
            Ok(found) => {
                let has_deaths = aside.iter().any(|aside| matches!(aside, SetAside::Dead { .. }));
                if has_deaths && keep == Keep::Deaths {
                    // Every statement before it was checked: it cannot end in a rollback.
                    match ask(client.batch_execute("commit")).await {
                        Ok(()) => drop(client.release()),
                        Err(failed) => return Err(abandon(client.release(), failed.into())),
                    }
                } else {
                    roll_back(client).await?;
                }
                locked(&self.state).aside.extend(aside);
                Ok(found)
            }
            Err(Failed::Said(said)) => {
                roll_back(client).await?;
                Err(OutboxError::Refused(said.words))
            }
            Err(Failed::Lost(error)) => Err(error),
        }
    }

    async fn walk(
        &self,
        desk: &Desk<'_>,
        refusal: &str,
        aside: &mut Vec<SetAside>,
    ) -> Result<Found, Failed> {
        let started = Instant::now();
        self.fence.enter(desk.client, desk.generation).await?;
        let mut suspects: Vec<Suspect> = Vec::new();
        let places = self.next_places(desk).await?;
        let mut is_whole = i64::try_from(places.len()).is_ok_and(|places| places < ROWS_MAX);
        for place in places {
            match self.judge(desk, &place).await? {
                Verdict::NotOurs => {}
                Verdict::Fine => {
                    for suspect in suspects {
                        self.hold_back(desk, suspect, false, aside).await?;
                    }
                    return Ok(if aside.is_empty() { Found::Fine } else { Found::SetAside });
                }
                Verdict::Dead(reason, words) => {
                    match self.dead_letter_row(desk, &place, reason, words).await? {
                        Ok(dead) => aside.extend(dead),
                        Err(words) => suspects.push(Suspect { place, words, is_of_row: true }),
                    }
                }
                Verdict::Refused(words, is_of_row) => {
                    suspects.push(Suspect { place, words, is_of_row });
                }
            }
            let is_late = started.elapsed() > STEP_MAX
                && (!aside.is_empty() || suspects.len() >= SUSPECTS_MIN);
            if suspects.len() >= SUSPECTS_MAX || is_late {
                is_whole = false;
                break;
            }
        }
        if !aside.is_empty() {
            return Ok(Found::SetAside);
        }
        let words = suspects.first().map_or(refusal, |suspect| &suspect.words).to_owned();
        let are_of_rows = !suspects.is_empty() && suspects.iter().all(|suspect| suspect.is_of_row);
        if !(is_whole && are_of_rows && self.takes_none(desk).await?) {
            return Err(Failed::Said(Said::only(&words)));
        }
        // Those of one stream say nothing of the others.
        let alone = desk.only.is_none();
        for suspect in suspects {
            self.hold_back(desk, suspect, alone, aside).await?;
        }
        Ok(Found::SetAside)
    }

    /// Whether a claim is granted if there is no row in it: what refuses others looks at their
    /// rows.
    async fn takes_none(&self, desk: &Desk<'_>) -> Result<bool, Failed> {
        let nowhere = if self.table.plain { "(0,0)" } else { "0:(0,0)" };
        match self.claim_one(desk, nowhere).await {
            Ok(taken) => Ok(taken.is_none()),
            Err(failed) => failed.said().map(|_| false),
        }
    }

    /// Where the next rows are.
    async fn next_places(&self, desk: &Desk<'_>) -> Result<Vec<String>, Failed> {
        let Desk { client, from, parked, only, slots, rows, keys, .. } = desk;
        let list = &self.table.sql.one.list;
        ask(client.batch_execute("savepoint list")).await?;
        let params: [&(dyn ToSql + Sync); 7] = [from, parked, slots, rows, keys, &ROWS_MAX, only];
        let found = match ask(client.query(list, &params)).await {
            Ok(found) => found,
            Err(failed) => {
                // For one of them it cannot be told whose it is; then all are looked at.
                let said = failed.said()?;
                if only.is_some() {
                    return Err(Failed::Said(said));
                }
                ask(client.batch_execute("rollback to list")).await?;
                let (texts, none) = (None::<Vec<String>>, None::<i64>);
                let all: [&(dyn ToSql + Sync); 7] =
                    [from, &texts, &none, &texts, &texts, &ROWS_MAX, &None::<&str>];
                ask(client.query(list, &all)).await?
            }
        };
        Ok(found.iter().map(|row| row.get(0)).collect())
    }

    /// Its length comes first: claiming it costs the server most.
    async fn judge(&self, desk: &Desk<'_>, place: &str) -> Result<Verdict, Failed> {
        ask(desk.client.batch_execute("savepoint one")).await?;
        match self.weigh(desk, place).await? {
            Verdict::Fine => {}
            verdict => return Ok(verdict),
        }
        let said = match self.claim_one(desk, place).await {
            Ok(None) => return Ok(Verdict::NotOurs),
            // As a whole it may be delivered, though a batch may not have as much.
            Ok(Some(Ok(()) | Err(BadRow::TooLong))) => return Ok(Verdict::Fine),
            Ok(Some(Err(BadRow::Null(key)))) => {
                return Ok(Verdict::Dead(
                    DeadReason::NullColumn,
                    format!("the column of {key} is null"),
                ));
            }
            Ok(Some(Err(BadRow::Unreadable(words)))) => {
                return Ok(Verdict::Dead(DeadReason::Unreadable, words));
            }
            Err(failed) => failed.said()?,
        };
        if !said.may_be_of_a_row() {
            let is_of_row = said.is_of_a_routine();
            return Ok(Verdict::Refused(said.words, is_of_row));
        }
        // Is it what is in the row, or the deleting?
        let read =
            ask(desk.client.query(&self.table.sql.one.read, &[&place, &self.cap(), &self.marker]))
                .await;
        self.back(desk).await?;
        match read {
            Ok(_) => Ok(Verdict::Refused(said.words, true)),
            Err(failed) => Ok(unreadable(failed.said()?)),
        }
    }

    /// Claims one row, and lets it go again.
    async fn claim_one(
        &self,
        desk: &Desk<'_>,
        place: &str,
    ) -> Result<Option<Result<(), BadRow>>, Failed> {
        let Desk { client, parked, slots, rows, keys, generation, .. } = desk;
        let claim = &self.table.sql.one.claim;
        let cap = self.cap();
        let claimed = ask(client
            .query(claim, &[&place, parked, slots, rows, keys, generation, &cap, &self.marker]))
        .await;
        self.back(desk).await?;
        let mut taken = Rows::new(&self.table.layout, self.config.batch_bytes, &self.marker);
        Ok(claimed?.first().map(|row| taken.push(row)))
    }

    /// May it be delivered as far as its length goes?
    async fn weigh(&self, desk: &Desk<'_>, place: &str) -> Result<Verdict, Failed> {
        let Desk { client, parked, slots, rows, keys, .. } = desk;
        let measure = &self.table.sql.one.measure;
        let weighed = ask(client.query_opt(measure, &[&place, parked, slots, rows, keys])).await;
        let max = self.config.event_bytes_max;
        match weighed {
            Ok(None) => Ok(Verdict::NotOurs),
            Ok(Some(row)) => {
                let bytes: i64 = row.get(0);
                // What is no longer than a batch may be is the encoder's to judge.
                if usize::try_from(bytes)
                    .is_ok_and(|bytes| bytes <= max.max(self.config.batch_bytes))
                {
                    return Ok(Verdict::Fine);
                }
                Ok(Verdict::Dead(
                    DeadReason::TooLarge,
                    format!("{bytes} bytes; event_bytes_max is {max}"),
                ))
            }
            Err(failed) => {
                let said = failed.said()?;
                self.back(desk).await?;
                Ok(unreadable(said))
            }
        }
    }

    /// To what was before a row was tried.
    async fn back(&self, desk: &Desk<'_>) -> Result<(), Failed> {
        ask(desk.client.batch_execute("rollback to one")).await
    }

    /// Moves a row to the dead letters, as much of it as the server can hand out. `Err`: it cannot
    /// be moved.
    async fn dead_letter_row(
        &self,
        desk: &Desk<'_>,
        place: &str,
        reason: DeadReason,
        words: String,
    ) -> Result<Result<Option<SetAside>, String>, Failed> {
        let event = self.named(desk, place).await?.map_or_else(|_| place.to_owned(), Named::event);
        let mut refused = String::new();
        for letter in &self.table.sql.one.letters {
            // A row that can be read is kept whole, or stays where it is.
            if reason != DeadReason::Unreadable && !letter.missing.is_empty() {
                break;
            }
            let (outbox, generation) = (&self.config.name, &desk.generation);
            let reason_name = reason.as_str();
            let params: [&(dyn ToSql + Sync); 6] =
                [&place, generation, outbox, &reason_name, &words, &letter.missing];
            match ask(desk.client.execute(&letter.sql, &params)).await {
                Ok(0) => return Ok(Ok(None)),
                Ok(_) => {
                    let missing = letter.missing.clone();
                    return Ok(Ok(Some(SetAside::Dead { reason, event, words, missing })));
                }
                Err(failed) => {
                    let said = failed.said()?;
                    self.back(desk).await?;
                    let is_over = !said.may_be_of_a_row();
                    refused = said.words;
                    if is_over {
                        break;
                    }
                }
            }
        }
        Ok(Err(format!("{words}; and it cannot be moved to the dead letters: {refused}")))
    }

    async fn hold_back(
        &self,
        desk: &Desk<'_>,
        suspect: Suspect,
        alone: bool,
        aside: &mut Vec<SetAside>,
    ) -> Result<(), Failed> {
        let Suspect { place, words, .. } = suspect;
        let named = match self.named(desk, &place).await? {
            Ok(named) => named,
            Err(said) => return Err(Failed::Said(Said::only(&format!("{words}; {}", said.words)))),
        };
        let Named { row, key, .. } = &named;
        let Some((pause, new)) =
            locked(&self.state).held.hold(row.clone(), key.clone(), Instant::now())
        else {
            return Err(Failed::Said(Said::only(&words)));
        };
        aside.push(SetAside::Held { event: named.event(), words, pause, new, alone });
        Ok(())
    }

    /// A row's primary key, key and event id.
    async fn named(&self, desk: &Desk<'_>, place: &str) -> Result<Result<Named, Said>, Failed> {
        let named = ask(desk.client.query_opt(&self.table.sql.one.name, &[&place])).await;
        let text = |row: &tokio_postgres::Row, at: usize| {
            row.get::<_, Option<String>>(at).unwrap_or_default()
        };
        match named {
            Ok(Some(row)) => {
                Ok(Ok(Named { row: text(&row, 0), key: text(&row, 1), event: text(&row, 2) }))
            }
            Ok(None) => Ok(Err(Said::only("the row is gone"))),
            Err(failed) => {
                let said = failed.said()?;
                self.back(desk).await?;
                Ok(Err(said))
            }
        }
    }
}

fn unreadable(said: Said) -> Verdict {
    if said.may_be_of_a_row() {
        Verdict::Dead(DeadReason::Unreadable, said.words)
    } else {
        Verdict::Refused(said.words, false)
    }
}
