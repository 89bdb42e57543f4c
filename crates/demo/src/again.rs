//! What the streams held before Redis came back in an older state, and what of it they hold now.
//! Pure.

use std::collections::HashMap;

/// Events that were read before, with their entries.
#[derive(Debug, Default)]
pub(super) struct Again {
    before: HashMap<String, String>,
    still: u64,
    anew: u64,
}

/// What became of the entries that were read before Redis went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fate {
    /// Entries that went with Redis.
    pub(super) gone: u64,
    /// Their events that have come once more, as new entries.
    pub(super) anew: u64,
}

impl Again {
    /// From here on these are the entries that were read before.
    pub(super) fn new(before: HashMap<String, String>) -> Self {
        Self { before, still: 0, anew: 0 }
    }

    /// An event is read for the first time since then. Whether that is an entry which was read
    /// before, too.
    pub(super) fn is_still(&mut self, event_id: &str, entry_id: &str) -> bool {
        match self.before.get(event_id) {
            Some(before) if before == entry_id => {
                self.still += 1;
                true
            }
            Some(_) => {
                self.anew += 1;
                false
            }
            None => false,
        }
    }

    pub(super) fn fate(&self) -> Fate {
        let before = u64::try_from(self.before.len()).unwrap_or(u64::MAX);
        Fate { gone: before.saturating_sub(self.still), anew: self.anew }
    }
}

#[test]
fn what_is_gone_comes_anew() {
    let text = str::to_owned;
    let before = [("a", "1-0"), ("b", "2-0"), ("c", "3-0")];
    let mut again = Again::new(before.map(|(event, entry)| (text(event), text(entry))).into());
    for (event, entry) in [("a", "1-0"), ("b", "5-0"), ("d", "6-0")] {
        assert_eq!(again.is_still(event, entry), event == "a");
    }
    assert_eq!(again.fate(), Fate { gone: 2, anew: 1 });
}
