//! The application's writers, one for each key.

use crate::bounds::{AHEAD, Bounds, Writers};
use crate::state::{Row, State, Status, Writer};

impl State {
    /// Inserts and commits in one step.
    pub(crate) fn write(&mut self, key: u8, bounds: &Bounds) -> Option<()> {
        let writer = &mut self.writers[usize::from(key)];
        if !bounds.writes_at_once(key) || writer.committed == bounds.events[usize::from(key)] {
            return None;
        }
        writer.committed += 1;
        let event = writer.committed;
        if bounds.ahead && key == 1 && event == 1 {
            let id = self.postgres.sequence + AHEAD;
            self.postgres.insert_at(id, Row { key, event, status: Status::Committed });
        } else {
            self.postgres.insert(key, event, Status::Committed);
        }
        if bounds.watches() {
            let xid = self.postgres.begin();
            self.postgres.end(xid);
        }
        Some(())
    }

    /// An id is taken before the row is there.
    pub(crate) fn take_id(&mut self, key: u8, bounds: &Bounds) -> Option<()> {
        let writer = &mut self.writers[usize::from(key)];
        let numbered = writer.xid != 0 || bounds.writers == Writers::Unnumbered;
        if !bounds.writes_in_steps(key)
            || !numbered
            || writer.id != 0
            || writer.committed == bounds.events[usize::from(key)]
        {
            return None;
        }
        writer.id = self.postgres.insert(key, writer.committed + 1, Status::Pending);
        Some(())
    }

    /// At the latest with its insert; earlier if the application has written something else before,
    /// or a trigger before the statement has asked for it.
    pub(crate) fn take_xid(&mut self, key: u8, bounds: &Bounds) -> Option<()> {
        let writer = &mut self.writers[usize::from(key)];
        if !bounds.writes_in_steps(key)
            || writer.xid != 0
            || writer.committed == bounds.events[usize::from(key)]
        {
            return None;
        }
        writer.xid = self.postgres.begin();
        Some(())
    }

    pub(crate) fn commit_writer(&mut self, key: u8) -> Option<()> {
        let writer = &mut self.writers[usize::from(key)];
        if writer.id == 0 || writer.xid == 0 {
            return None;
        }
        let committed = writer.committed + 1;
        self.postgres.set_status(writer.id, Status::Committed);
        self.postgres.end(writer.xid);
        *writer = Writer { committed, ..Writer::default() };
        Some(())
    }

    pub(crate) fn roll_back_writer(&mut self, key: u8) -> Option<()> {
        let writer = &mut self.writers[usize::from(key)];
        if writer.id == 0 {
            return None;
        }
        self.rollbacks = self.rollbacks.checked_sub(1)?;
        self.postgres.set_status(writer.id, Status::Void);
        self.postgres.end(writer.xid);
        *writer = Writer { committed: writer.committed, ..Writer::default() };
        Some(())
    }
}
