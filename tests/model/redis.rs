//! The three scripts, each in one step: `src/relay/sink/append.lua`, `raise.lua`, `forget.lua`.

use crate::bounds::{Bounds, Mutant};
use crate::state::{Append, Record, Redis, Reply, Row, Rows, ids};

impl Redis {
    /// `refused` is a stream that takes nothing.
    pub(crate) fn append(
        &mut self,
        append: Append,
        table: &[Row],
        refused: Option<u8>,
        bounds: &Bounds,
    ) -> Reply {
        let mine = self.last.iter().position(|(number, _)| *number == append.number);
        if !bounds.is(Mutant::NoFence) {
            if self.generation > append.generation {
                return Reply::Fenced;
            }
            let last = mine.map_or(0, |at| self.last[at].1);
            if self.generation < append.generation || last != append.previous {
                return Reply::RolledBack;
            }
        }
        match mine {
            Some(at) => self.last[at].1 = append.batch,
            None => self.last.push((append.number, append.batch)),
        }
        self.last.sort_unstable();
        if !bounds.is(Mutant::NeverDrop) {
            self.drop_batches(append.generation, append.number, append.settled);
        }
        let mut appended: Rows = 0;
        let mut left_out = false;
        for id in ids(append.rows) {
            let stream = table[usize::from(id) - 1].key;
            if refused == Some(stream) {
                left_out = true;
            } else {
                self.streams[usize::from(stream)].push(id);
                appended |= 1 << id;
            }
        }
        let Append { generation, number, batch, .. } = append;
        self.records.push(Record { generation, number, batch, rows: appended });
        self.records.sort_unstable();
        match refused {
            Some(stream) if left_out => Reply::Refused(stream),
            Some(_) | None => Reply::Appended,
        }
    }

    /// The new generation, and every row in the journal.
    pub(crate) fn raise(&mut self, known: u8, keeps_last: bool) -> (u8, Rows) {
        let (generation, last) = (self.generation, std::mem::take(&mut self.last));
        if keeps_last {
            self.older.extend(last.into_iter().map(|(number, batch)| (generation, number, batch)));
        }
        self.generation = known.max(generation) + 1;
        self.raised_since_forgotten += 1;
        (self.generation, self.records.iter().fold(0, |rows, record| rows | record.rows))
    }

    /// Older generations' records go, if this one is still in force.
    pub(crate) fn forget(&mut self, generation: u8) {
        if self.generation == generation {
            self.records.retain(|record| record.generation == generation);
            self.raised_since_forgotten = 0;
        }
    }

    pub(crate) fn drop_batches(&mut self, generation: u8, number: u8, settled: u16) {
        self.records.retain(|record| {
            (record.generation, record.number) != (generation, number)
                || settled & (1 << record.batch) == 0
        });
    }
}
