//! Rows that cannot be taken now although others can: left out of the claims with their keys, and
//! tried again with growing pauses. Pure.

use std::time::{Duration, Instant};

/// First and longest pause before a row is tried again.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// Rows that are held back at once. If there are more, it is not the rows.
pub(super) const ROWS_MAX: usize = 100;

/// The rows that are held back, and those that were a short while ago.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Row>);

#[derive(Debug)]
struct Row {
    id: String,
    key: String,
    pause: Duration,
    until: Instant,
    is_tried: bool,
}

impl Held {
    /// Holds a row back. Returns for how long, and whether it was not yet known; `None` if there
    /// are too many.
    pub(super) fn hold(
        &mut self,
        row: String,
        key: String,
        now: Instant,
    ) -> Option<(Duration, bool)> {
        if let Some(known) = self.0.iter_mut().find(|known| known.id == row) {
            known.pause = (known.pause * 2).min(PAUSE_MAX);
            (known.key, known.until, known.is_tried) = (key, now + known.pause, false);
            return Some((known.pause, false));
        }
        if self.0.len() >= ROWS_MAX {
            return None;
        }
        self.0.push(Row {
            id: row,
            key,
            pause: PAUSE_MIN,
            until: now + PAUSE_MIN,
            is_tried: false,
        });
        Some((PAUSE_MIN, true))
    }

    /// Rows whose pause is over are tried from here on. Returns whether there are any: the cursor
    /// has passed them.
    pub(super) fn release(&mut self, now: Instant) -> bool {
        // One that has not come back for so long was taken.
        self.0.retain(|row| !row.is_tried || now.duration_since(row.until) < 2 * PAUSE_MAX);
        let mut released = false;
        for row in self.0.iter_mut().filter(|row| !row.is_tried && row.until <= now) {
            (row.is_tried, released) = (true, true);
        }
        released
    }

    /// The rows that claims leave out, and their keys; `None` if there are none.
    pub(super) fn names(&self) -> Option<(Vec<String>, Vec<String>)> {
        let held = self.0.iter().filter(|row| !row.is_tried);
        let names: (Vec<String>, Vec<String>) =
            held.map(|row| (row.id.clone(), row.key.clone())).unzip();
        (!names.0.is_empty()).then_some(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_what_was_taken_is_forgotten() {
        let (mut held, mut now) = (Held::default(), Instant::now());
        let mut pauses = Vec::new();
        for round in 0..8 {
            let (pause, new) = held.hold("7".into(), "k".into(), now).expect("room");
            assert_eq!(new, round == 0);
            pauses.push(pause.as_secs());
            assert_eq!(held.names(), Some((vec!["7".to_owned()], vec!["k".to_owned()])));
            assert!(!held.release(now), "not before its pause is over");
            now += pause;
            assert!(held.release(now) && held.names().is_none(), "it is tried");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(!held.release(now + 2 * PAUSE_MAX), "once");
        assert_eq!(
            held.hold("7".into(), "k".into(), now),
            Some((PAUSE_MIN, true)),
            "from the beginning"
        );
    }

    #[test]
    fn their_number_is_bounded() {
        let (mut held, now) = (Held::default(), Instant::now());
        let taken = (0..2 * ROWS_MAX)
            .filter(|n| held.hold(n.to_string(), String::new(), now).is_some())
            .count();
        assert_eq!(taken, ROWS_MAX);
    }
}
