//! What the writers of the simulation do, and what is done to their sequence and trigger.

use super::{KEYS, State, World, Writer};

impl World {
    /// One step of some writer.
    pub(super) fn write(&mut self) {
        if self.closed {
            return;
        }
        match self.random.below(4) {
            0 => self.begin(),
            1 => self.end_a_writer(),
            _ => self.advance(),
        }
    }

    pub(super) fn begin(&mut self) {
        let key = self.random.below(KEYS);
        let busy = |writer: &Writer| matches!(writer.state, State::Allocated | State::Open);
        let too_soon = !self.fell.1.is_empty() && self.sequence + KEYS.cast_signed() >= self.fell.0;
        if too_soon || self.writers.iter().any(|writer| writer.key == key && busy(writer)) {
            return;
        }
        let committed = self
            .writers
            .iter()
            .filter(|writer| writer.key == key && writer.state == State::Committed);
        let count = committed.count() as u64 + 1;
        let mut writer =
            Writer { key, count, id: None, xid: None, state: State::Open, taken: false };
        if self.is_safe() && !self.random.one_in(10) {
            writer.xid = Some(self.number());
        } else if self.random.one_in(2) {
            // Refused in the end, if the table has a proof by then.
            (writer.id, writer.state) = (Some(self.draw()), State::Allocated);
        } else if !self.is_safe() {
            writer.id = Some(self.draw());
        } else {
            return;
        }
        self.writers.push(writer);
    }

    pub(super) fn advance(&mut self) {
        let waiting: Vec<usize> = (0..self.writers.len())
            .filter(|index| {
                let writer = &self.writers[*index];
                writer.state == State::Allocated
                    || writer.state == State::Open && (writer.id.is_none() || writer.xid.is_none())
            })
            .collect();
        let Some(index) = self.pick(&waiting) else { return };
        if self.writers[index].state == State::Allocated {
            if !self.is_safe() {
                self.writers[index].state = State::Open;
            } else if self.random.one_in(10) {
                self.writers[index].state = State::RolledBack;
            }
        } else if self.writers[index].id.is_none() {
            self.writers[index].id = Some(self.draw());
        } else {
            self.writers[index].xid = Some(self.number());
        }
    }

    pub(super) fn pick(&mut self, among: &[usize]) -> Option<usize> {
        if among.is_empty() {
            return None;
        }
        // The oldest ones stay longest.
        let picked = if self.random.one_in(8) { 0 } else { self.random.below(among.len() as u64) };
        Some(among[usize::try_from(picked).unwrap_or_default()])
    }

    pub(super) fn end_a_writer(&mut self) {
        let done = |writer: &Writer| {
            writer.state == State::Open && writer.id.is_some() && writer.xid.is_some()
        };
        let done: Vec<usize> =
            (0..self.writers.len()).filter(|index| done(&self.writers[*index])).collect();
        let Some(index) = self.pick(&done) else { return };
        let rolled_back = self.random.one_in(8);
        self.end(index, if rolled_back { State::RolledBack } else { State::Committed });
    }

    pub(super) fn end(&mut self, index: usize, state: State) {
        let writer = &mut self.writers[index];
        writer.state = state;
        self.completed = self.completed.max(writer.xid.unwrap_or_default());
    }

    /// All whose insert has begun.
    pub(super) fn end_all(&mut self) {
        for index in 0..self.writers.len() {
            if self.writers[index].state == State::Open {
                let id = self.writers[index].id.unwrap_or_else(|| self.draw());
                let xid = self.writers[index].xid.unwrap_or_else(|| self.number());
                (self.writers[index].id, self.writers[index].xid) = (Some(id), Some(xid));
                self.end(index, State::Committed);
            }
        }
    }

    /// Waits for the writers, as `alter table` does; its own transaction has a number. At times
    /// there is some writing and it is switched back before anybody has claimed.
    pub(super) fn switch_the_trigger(&mut self) {
        for _ in 0..=self.random.below(2) {
            if self.closed {
                return;
            }
            self.end_all();
            (self.trigger, self.token) = (!self.trigger, self.token + 1);
            self.completed = self.number();
            for _ in 0..self.random.below(20) {
                self.write();
            }
        }
    }

    /// Set back when all is delivered: what is waiting would be overtaken by its ids alone.
    pub(super) fn set_back(&mut self) {
        self.deliver_all();
        if self.sequence > 20 {
            self.fell = (self.sequence, (0..self.cursors.len()).collect());
            self.sequence = self.random.signed_below(1 + self.sequence.unsigned_abs() / 2);
        }
    }

    /// One row of a key of its own, committed at once.
    pub(super) fn insert_far_ahead(&mut self) {
        let (key, xid) = (KEYS + self.writers.len() as u64, self.number());
        let id = Some(self.sequence + 20 + self.random.signed_below(100));
        self.writers.push(Writer {
            key,
            count: 1,
            id,
            xid: Some(xid),
            state: State::Open,
            taken: false,
        });
        self.end(self.writers.len() - 1, State::Committed);
    }
}
