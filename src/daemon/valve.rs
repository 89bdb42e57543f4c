//! Two limits: a relay waits from the upper one on, and goes on at the lower one, so that it does
//! not stop and go on each second. Pure.

/// Looks in a row between the two limits after which a relay goes on too. Each relay looks for
/// itself: one may have seen the lower limit, gone on, and keep the figure above it, as much as the
/// consumers read, while another one would wait for the lower limit for ever.
const PATIENCE: u32 = 10;

/// Whether to wait. It remembers how long the figure has been between the limits.
#[derive(Debug, Default)]
pub(super) struct Valve {
    between: u32,
}

impl Valve {
    /// After another look: whether this relay waits. `is_held`: it does so already.
    pub(super) fn waits(&mut self, is_held: bool, is_above: bool, is_at_lower: bool) -> bool {
        if is_above || is_at_lower || !is_held {
            self.between = 0;
            return is_above;
        }
        self.between += 1;
        self.between < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_down_to_the_lower_limit_or_until_others_keep_it_from_there() {
        let mut valve = Valve::default();
        let mut is_held = false;
        let mut look = |is_above, is_at_lower| {
            is_held = valve.waits(is_held, is_above, is_at_lower);
            is_held
        };
        assert!(!look(false, false), "between the limits from below");
        assert!(look(true, false));
        assert!((1..PATIENCE).all(|_| look(false, false)));
        assert!(look(true, false), "too much again");
        assert!((1..PATIENCE).all(|_| look(false, false)), "the looks count anew");
        assert!(!look(false, false));
        assert!(look(true, false) && look(false, false) && !look(false, true));
        assert!(!look(false, false));
    }
}
