//! The counts of a run, and whether they are as they should be.

use std::fmt;

/// Counts of orders. Its text is the demo's last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Orders that the API has acknowledged, with the cancellation if there is one.
    pub placed: u64,
    /// Placed orders of which every event is in the stream.
    pub relayed: u64,
    /// Relayed orders of which every event is in the consumer's inbox.
    pub consumed: u64,
    /// Orders with an event that is in the stream more than once, or that were decided about twice.
    pub doubled: u64,
    /// Orders with anything in the stream before their creation, or confirmed after they were
    /// cancelled.
    pub out_of_order: u64,
}

impl Tally {
    /// Placed orders that have not arrived.
    pub fn lost(&self) -> u64 {
        self.placed - self.consumed
    }

    /// Whether every order arrived, once and in order.
    pub fn is_clean(&self) -> bool {
        self.lost() == 0 && self.doubled == 0 && self.out_of_order == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { placed, relayed, consumed, doubled, out_of_order } = self;
        let lost = self.lost();
        write!(f, "placed {placed}, relayed {relayed}, consumed {consumed}, ")?;
        write!(f, "lost {lost}, doubled {doubled}, out of order {out_of_order}")
    }
}
