//! How far a kept outbox has been read: at most two snapshots. Pure.
//!
//! `id > last` loses rows, because ids commit out of order. So a position says which *transactions*
//! have been read. The idea is `PgQ`'s (a batch is what lies between two snapshots); what is added
//! is the target, which lets a read stop after so many rows.
//!
//! * A read without a target returns the rows that are visible now and not in `seen`, in id order.
//!   If it returns all of them, `seen` becomes the snapshot of that read.
//! * If it stops at a limit, that snapshot becomes the *target*, and the last id its *mark*: until
//!   a read returns all that is left, only rows that the target sees, that `seen` does not, and
//!   whose id is above the mark are read. Then `seen` becomes the target.
//!
//! If event e1 was committed before e2 was inserted, a snapshot that sees e2 sees e1: the two come
//! in one target in id order, or e1 in an earlier one.

use std::fmt;

use super::snapshot::{NoSnapshot, Snapshot};

/// Below every id.
pub const BELOW_ALL: i64 = i64::MIN;

/// What was read of some keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position {
    /// Rows of these transactions have been read, all of them.
    pub seen: Snapshot,
    /// What is being read, if that takes more than one read.
    pub target: Option<Target>,
    /// An id from which on rows are looked for by their ids, and below which by their
    /// transactions. It guides the plan; the result does not depend on it.
    pub hint: i64,
}

/// What several reads read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// Rows that it sees are read.
    pub snapshot: Snapshot,
    /// Its rows up to this id have been read.
    pub mark: i64,
}

/// What one read has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All that there was; and the next hint: ids up to here are taken, as far as is known.
    All(i64),
    /// As many as were wanted: up to this id.
    UpTo(i64),
}

impl Position {
    /// Before every row.
    pub fn beginning() -> Self {
        Self::behind(Snapshot::nothing(), BELOW_ALL)
    }

    /// Behind everything that a snapshot sees.
    pub fn behind(seen: Snapshot, hint: i64) -> Self {
        Self { seen, target: None, hint }
    }

    /// Rows up to this id, of the target, have been read.
    pub fn mark(&self) -> i64 {
        self.target.as_ref().map_or(BELOW_ALL, |target| target.mark)
    }

    /// What will have been seen when the reads that have begun are at their end.
    pub fn goal(&self) -> &Snapshot {
        self.target.as_ref().map_or(&self.seen, |target| &target.snapshot)
    }

    /// The position behind a read, whose own snapshot was `read` unless it had a target.
    #[must_use]
    pub fn after(&self, read: &Snapshot, extent: Extent) -> Self {
        let target = self.target.as_ref().map_or(read, |target| &target.snapshot).clone();
        match extent {
            Extent::All(hint) => Self::behind(target, hint),
            Extent::UpTo(mark) => Self {
                seen: self.seen.clone(),
                target: Some(Target { snapshot: target, mark }),
                hint: mark,
            },
        }
    }

    /// Whether a row has been read.
    pub fn has_passed(&self, xid: u64, id: i64) -> bool {
        let in_target = |target: &Target| target.snapshot.sees(xid) && id <= target.mark;
        self.seen.sees(xid) || self.target.as_ref().is_some_and(in_target)
    }

    /// Whether every row that the other one has passed is passed here too, as far as snapshots say.
    pub fn includes(&self, other: &Self) -> bool {
        let read = |target: &Target| {
            self.seen.includes(&target.snapshot)
                || self.target.as_ref().is_some_and(|mine| {
                    mine.snapshot.includes(&target.snapshot) && mine.mark >= target.mark
                })
        };
        self.seen.includes(&other.seen) && other.target.as_ref().is_none_or(read)
    }

    /// Whether both have read the same, whatever guides their next reads.
    pub fn is_at(&self, other: &Self) -> bool {
        (&self.seen, &self.target) == (&other.seen, &other.target)
    }

    /// Has passed only what both have passed; of two targets it may know less.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let hint = self.hint.min(other.hint);
        if self.includes(other) {
            return Self { hint, ..other.clone() };
        }
        if other.includes(self) {
            return Self { hint, ..self.clone() };
        }
        let seen = self.seen.common(&other.seen);
        let says_more = |target: &Target| !seen.includes(&target.snapshot);
        let within = |one: &Self, all: &Snapshot, mark: i64| {
            let target = one.target.as_ref()?;
            let snapshot = target.snapshot.common(all);
            Some(Target { snapshot, mark: target.mark.min(mark) }).filter(says_more)
        };
        let target = other.target.as_ref();
        let target = target
            .and_then(|others| within(self, &others.snapshot, others.mark))
            .or_else(|| within(self, &other.seen, i64::MAX))
            .or_else(|| within(other, &self.seen, i64::MAX));
        Self { seen, target, hint }
    }

    /// Parses what [`Display`](fmt::Display) prints.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self, BadPosition> {
        let [seen, target, mark, hint] = text.split('|').collect::<Vec<_>>()[..] else {
            return Err(BadPosition::Parts(text.to_owned()));
        };
        let number = |text: &str| text.parse::<i64>().map_err(|_| bad_number(text));
        let target = match (target, mark) {
            ("", "") => None,
            _ => Some(Target { snapshot: Snapshot::parse(target)?, mark: number(mark)? }),
        };
        Ok(Self { seen: Snapshot::parse(seen)?, target, hint: number(hint)? })
    }
}

/// `seen|target|mark|hint`, the two in the middle empty without a target.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|", self.seen)?;
        match &self.target {
            Some(Target { snapshot, mark }) => write!(f, "{snapshot}|{mark}|{}", self.hint),
            None => write!(f, "||{}", self.hint),
        }
    }
}

/// A text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPosition {
    /// One of its snapshots.
    #[error(transparent)]
    Snapshot(#[from] NoSnapshot),
    /// One of its numbers.
    #[error("{0:?} is no number")]
    Number(String),
    /// It has too few parts, or too many.
    #[error("{0:?} does not have the parts of a position")]
    Parts(String),
    /// The name of a stream.
    #[error("{0:?} is not a name in hexadecimal digits")]
    Name(String),
}

pub(super) fn bad_number(text: &str) -> BadPosition {
    BadPosition::Number(text.to_owned())
}

#[cfg(test)]
mod tests;
