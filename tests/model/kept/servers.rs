//! Servers that come back in another state.

use std::sync::Arc;

use super::bounds::{Bounds, Fault};
use super::state::{At, Phase, Postgres, Redis, State};

impl State {
    /// Redis may come back to this state.
    pub(crate) fn save_redis(&mut self) -> Option<()> {
        if !self.may(Fault::RedisBack) || self.redis_saved.is_some() {
            return None;
        }
        self.redis_saved = Some(Arc::new(self.redis.clone()));
        Some(())
    }

    pub(crate) fn restore_redis(&mut self) -> Option<()> {
        let saved = self.redis_saved.take().filter(|saved| **saved != self.redis)?;
        self.spend(Fault::RedisBack)?;
        self.redis = Redis::clone(&saved);
        self.past.redis_back = true;
        self.past.returns += 1;
        Some(())
    }

    pub(crate) fn empty_redis(&mut self) -> Option<()> {
        self.redis.journal.as_ref()?;
        self.spend(Fault::RedisEmpty)?;
        self.redis = Redis::default();
        self.past.redis_back = true;
        self.past.returns += 1;
        Some(())
    }

    /// Postgres may come back to this state: a backup, or what a standby has.
    pub(crate) fn save_postgres(&mut self) -> Option<()> {
        if !self.may(Fault::PostgresBack) || self.postgres_saved.is_some() {
            return None;
        }
        let mut saved = self.postgres.clone();
        saved.crash();
        self.postgres_saved = Some(Arc::new(saved));
        Some(())
    }

    pub(crate) fn restore_postgres(&mut self, bounds: &Bounds) -> Option<()> {
        let saved = self.postgres_saved.take()?;
        if bounds.unmarked && !self.would_tell(&saved) {
            return None;
        }
        self.spend(Fault::PostgresBack)?;
        let timeline = self.postgres.timeline + u8::from(!bounds.unmarked);
        self.postgres = Postgres { timeline, ..Postgres::clone(&saved) };
        let copies = || self.postgres.copies.iter().map(|copy| &*copy.pieces);
        let rows = self.postgres.committed();
        let unknown = rows.filter(|row| !Postgres::have_passed(copies(), **row, bounds));
        let again = unknown.fold(0, |rows, row| rows | 1 << row.number);
        self.past.again |= again;
        self.past.unhealed = Some(self.redis.journal.as_ref().map_or(0, |of| of.generation));
        self.past.postgres_back = true;
        self.past.returns += 1;
        if bounds.unmarked {
            for m in 0..self.members.len() {
                if self.members[m].phase == Phase::Working {
                    self.doubt(m, bounds);
                }
            }
        }
        Some(())
    }

    /// Whether it is seen by the copies that it has gone back.
    fn would_tell(&self, saved: &Postgres) -> bool {
        let is_missing = |confirmed: &At| {
            let is_same =
                |at: At| (at.generation, at.member) == (confirmed.generation, confirmed.member);
            let copy = saved.copies.iter().find(|copy| is_same(copy.at));
            copy.is_none_or(|copy| copy.at.batch < confirmed.batch)
        };
        self.redis.journal.as_ref().is_some_and(|journal| journal.copied.iter().any(is_missing))
    }
}
