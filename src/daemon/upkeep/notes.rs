//! Since when a group is missing or does not read, and the log lines about it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::observe::metrics::{NoteKind, StreamNote};
use crate::relay::options::{Trim, TrimWhen};
use crate::relay::sink::upkeep::{GroupLook, Look, time_of};

/// Notes that are remembered; more say nothing new.
const NOTES_MAX: usize = 1_000;

/// Which group of which stream.
type Which = (NoteKind, String, String);

/// What was noticed, and since when.
#[derive(Debug, Default)]
pub(super) struct Notes {
    since: BTreeMap<Which, Timestamp>,
    /// In the round that is under way.
    current: BTreeSet<Which>,
}

impl Notes {
    pub(super) fn looked(&mut self, stream: &str, look: &Look, trim: &Trim) {
        // A stream is looked at more than once a round.
        self.current.retain(|(_, of, _)| of != stream);
        if trim.when == TrimWhen::Consumed {
            for group in &look.missing {
                self.note(NoteKind::Missing, stream, group);
            }
            if look.groups.is_empty() && look.missing.is_empty() {
                self.note(NoteKind::Missing, stream, "");
            }
        }
        for group in look.groups.iter().filter(|group| is_stale(group, look, trim)) {
            self.note(NoteKind::Stale, stream, &group.name);
        }
    }

    /// What is so now. Each group is told of once in the log, with one of its streams.
    pub(super) fn end_round(&mut self, outbox: &str) -> Vec<StreamNote> {
        let current = std::mem::take(&mut self.current);
        let groups = |of: &BTreeMap<Which, Timestamp>| -> BTreeSet<(NoteKind, String)> {
            of.keys().map(|(kind, _, group)| (*kind, group.clone())).collect()
        };
        let before = groups(&self.since);
        self.since.retain(|which, _| current.contains(which));
        let now = Timestamp::now();
        for which in current {
            self.since.entry(which).or_insert(now);
        }
        let notes: Vec<StreamNote> = self.since.iter().map(note).collect();
        let after = groups(&self.since);
        for (kind, group) in after.difference(&before) {
            let of_group: Vec<&StreamNote> =
                notes.iter().filter(|note| note.kind == *kind && note.group == *group).collect();
            if let Some(first) = of_group.first() {
                tracing::warn!(outbox, streams = of_group.len(), group, "{}", first.told());
            }
        }
        for (kind, group) in before.difference(&after) {
            let what = match kind {
                NoteKind::Missing => "no stream waits for the group any more",
                NoteKind::Stale => "the group reads again, or is gone",
            };
            tracing::info!(outbox, group, "{what}");
        }
        notes
    }

    fn note(&mut self, kind: NoteKind, stream: &str, group: &str) {
        if self.current.len() < NOTES_MAX {
            self.current.insert((kind, stream.to_owned(), group.to_owned()));
        }
    }
}

fn note(((kind, stream, group), since): (&Which, &Timestamp)) -> StreamNote {
    StreamNote { stream: stream.clone(), group: group.clone(), kind: *kind, since: *since }
}

/// It needs entries, and nobody has come for them for so long. A group without consumers is as old
/// as what it was given last.
fn is_stale(group: &GroupLook, look: &Look, trim: &Trim) -> bool {
    let Some(limit) = trim.stale_after else { return false };
    if !group.holds() || look.entries == 0 {
        return false;
    }
    let idle_ms = match group.idle {
        Some(idle) => i64::try_from(idle.as_millis()).unwrap_or(i64::MAX),
        None => look.now_ms - time_of(&group.last_delivered).unwrap_or(look.now_ms),
    };
    u128::try_from(idle_ms).is_ok_and(|idle| idle >= limit.as_millis())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trim(when: TrimWhen) -> Trim {
        Trim {
            when,
            groups: Vec::new(),
            keep_read: Duration::ZERO,
            keep_read_entries: 0,
            max_len: 0,
            max_age: Duration::ZERO,
            stale_after: Some(Duration::from_secs(10)),
        }
    }

    fn group(lag: i64, idle: Option<u64>) -> GroupLook {
        GroupLook {
            name: "g".to_owned(),
            last_delivered: "90000-0".to_owned(),
            pending: 0,
            lag: Some(lag),
            oldest_pending: None,
            idle: idle.map(Duration::from_secs),
        }
    }

    fn look(groups: Vec<GroupLook>, missing: &[&str]) -> Look {
        Look {
            now_ms: 100_000,
            entries: 5,
            trimmed_read: 0,
            trimmed_over: 0,
            unread_trimmed: 0,
            missing: missing.iter().map(ToString::to_string).collect(),
            groups,
        }
    }

    #[test]
    fn a_group_is_stale_that_needs_entries_and_was_not_seen() {
        let table = [
            (group(1, Some(10)), true),
            (group(1, Some(9)), false),
            (group(0, Some(99)), false),
            // Without consumers: by the last delivered id, which is 10 s old.
            (group(1, None), true),
            (GroupLook { last_delivered: "90001-0".to_owned(), ..group(1, None) }, false),
            (GroupLook { last_delivered: "0-0".to_owned(), ..group(1, None) }, true),
            (GroupLook { oldest_pending: Some("1-0".to_owned()), ..group(0, Some(10)) }, true),
            (GroupLook { lag: None, ..group(0, Some(10)) }, true),
        ];
        for (group, expected) in table {
            let look = look(vec![group.clone()], &[]);
            assert_eq!(is_stale(&group, &look, &trim(TrimWhen::Never)), expected, "{group:?}");
        }
    }

    #[test]
    fn a_note_keeps_its_time_until_it_is_over() {
        let (mut notes, trim) = (Notes::default(), trim(TrimWhen::Consumed));
        let missing = look(vec![group(0, None)], &["late"]);
        notes.looked("a", &missing, &trim);
        let first = notes.end_round("orders");
        assert_eq!(first.len(), 1);
        notes.looked("a", &missing, &trim);
        notes.looked("b", &look(Vec::new(), &[]), &trim);
        let second = notes.end_round("orders");
        assert_eq!(second.len(), 2);
        assert!(second.contains(&first[0]), "{second:?}");
        notes.looked("a", &look(vec![group(0, None)], &[]), &trim);
        assert!(notes.end_round("orders").is_empty());
    }
}
