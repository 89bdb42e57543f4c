//! Puts rows, entries and dead letters together, event by event. Pure.

use jiff::Timestamp;

use super::found::{ConsumerLetter, EventState, FoundEntry, FoundEvent, FoundLetter, FoundRow};
use super::postgres::LetterOf;
use super::scan::Hit;
use crate::relay::outbox::lookup::Match;

/// Events that are put together.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<FoundEvent>);

impl Events {
    pub(super) fn row(&mut self, found: &Match, row: FoundRow) {
        let of = std::slice::from_ref(&row.outbox);
        let event = self.of(of, Some(&found.event_id));
        fill(&mut event.key, found.key.as_ref());
        fill(&mut event.kind, Some(&found.kind));
        fill(&mut event.time, found.time.map(|time| time.to_string()).as_ref());
        fill(&mut event.trace_id, found.trace_id.as_ref());
        event.rows.push(row);
    }

    pub(super) fn letter(&mut self, letter: LetterOf) {
        let of = std::slice::from_ref(&letter.letter.outbox);
        let event = self.of(of, Some(&letter.event_id));
        fill(&mut event.key, letter.key.as_ref());
        fill(&mut event.kind, Some(&letter.kind));
        fill(&mut event.time, letter.time.as_ref());
        event.dead_letters.push(letter.letter);
    }

    pub(super) fn entry(&mut self, outboxes: &[String], hit: &Hit, entry: FoundEntry) {
        self.of_entry(outboxes, hit).entries.push(entry);
    }

    pub(super) fn consumer_letter(
        &mut self,
        outboxes: &[String],
        hit: &Hit,
        letter: ConsumerLetter,
    ) {
        self.of_entry(outboxes, hit).consumer_dead_letters.push(letter);
    }

    fn of_entry(&mut self, outboxes: &[String], hit: &Hit) -> &mut FoundEvent {
        let event = self.of(outboxes, hit.event_id.as_ref());
        fill(&mut event.key, hit.key.as_ref());
        fill(&mut event.kind, hit.kind.as_ref());
        fill(&mut event.time, hit.time.as_ref());
        fill(&mut event.trace_id, hit.trace_id.as_ref());
        event
    }

    /// The event with this id, of one of these outboxes. What has no id is one by itself.
    fn of(&mut self, outboxes: &[String], id: Option<&String>) -> &mut FoundEvent {
        let is_it = |event: &FoundEvent| {
            id.is_some()
                && event.event_id.as_ref() == id
                && event.outboxes.iter().any(|name| outboxes.contains(name))
        };
        let at = self.0.iter().position(is_it).unwrap_or_else(|| {
            self.0.push(FoundEvent {
                state: EventState::Sent,
                outboxes: outboxes.to_vec(),
                event_id: id.cloned(),
                key: None,
                kind: None,
                time: None,
                trace_id: None,
                rows: Vec::new(),
                entries: Vec::new(),
                dead_letters: Vec::new(),
                consumer_dead_letters: Vec::new(),
            });
            self.0.len() - 1
        });
        let event = &mut self.0[at];
        // A row or a dead letter says which of several outboxes it was.
        if outboxes.len() < event.outboxes.len() {
            event.outboxes = outboxes.to_vec();
        }
        event
    }

    /// At most `limit`, newest first; and whether there are more.
    pub(super) fn newest(mut self, limit: usize) -> (Vec<FoundEvent>, bool) {
        for event in &mut self.0 {
            event.state = state(event);
        }
        // Of what has no time, the order in which it was found.
        self.0.sort_by_key(|event| std::cmp::Reverse(moment(event)));
        let has_more = self.0.len() > limit;
        self.0.truncate(limit);
        (self.0, has_more)
    }
}

fn fill(field: &mut Option<String>, value: Option<&String>) {
    if field.is_none() {
        *field = value.filter(|value| !value.is_empty()).cloned();
    }
}

fn state(event: &FoundEvent) -> EventState {
    let is_retired = |letter: &FoundLetter| letter.retired_at.is_some();
    let retired = event.dead_letters.iter().filter(|letter| is_retired(letter)).count();
    if !event.entries.is_empty() {
        EventState::Sent
    } else if event.rows.iter().any(|row| row.waits) {
        EventState::Waiting
    } else if retired < event.dead_letters.len() {
        EventState::Dead
    } else if retired > 0 && event.rows.len() <= retired && event.consumer_dead_letters.is_empty() {
        EventState::Retired
    } else {
        EventState::Sent
    }
}

/// When it was sent, died, or happened; what waits and has no time is the newest.
fn moment(event: &FoundEvent) -> Option<Timestamp> {
    let sent = event.entries.iter().filter_map(|entry| entry.appended_at);
    let died = event.dead_letters.iter().map(|letter| letter.died_at);
    let happened = event.rows.iter().filter_map(|row| row.time);
    let waits = event.rows.iter().any(|row| row.waits && row.time.is_none());
    let waits = waits.then_some(Timestamp::MAX);
    let said = event.time.as_ref().and_then(|time| time.parse().ok());
    sent.chain(died).chain(happened).chain(waits).max().or(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(event_id: &str, id: &str) -> (Hit, FoundEntry) {
        let hit = Hit {
            stream: "s".to_owned(),
            id: id.to_owned(),
            event_id: Some(event_id.to_owned()).filter(|id| !id.is_empty()),
            ..Hit::default()
        };
        let entry = FoundEntry {
            stream: "s".to_owned(),
            id: id.to_owned(),
            appended_at: hit.appended_at(),
            groups: Vec::new(),
            problems: Vec::new(),
        };
        (hit, entry)
    }

    fn letter(outbox: &str, event_id: &str, retired: bool) -> LetterOf {
        let at = Timestamp::UNIX_EPOCH;
        LetterOf {
            event_id: event_id.to_owned(),
            key: None,
            kind: "T".to_owned(),
            time: None,
            letter: FoundLetter {
                id: 1,
                outbox: outbox.to_owned(),
                reason: "refused".to_owned(),
                detail: None,
                stream: None,
                died_at: at,
                retired_at: retired.then_some(at),
            },
        }
    }

    #[test]
    fn what_is_of_one_event_comes_together_newest_first() {
        let both = ["a".to_owned(), "b".to_owned()];
        let mut events = Events::default();
        events.letter(letter("b", "e1", false));
        for (id, at) in [("e1", "2000-0"), ("e2", "5000-0"), ("", "3000-0"), ("", "4000-0")] {
            let (hit, entry) = hit(id, at);
            events.entry(&both, &hit, entry);
        }
        let (events, has_more) = events.newest(3);
        let ids: Vec<&str> = events.iter().map(|event| event.entries[0].id.as_str()).collect();
        assert_eq!((ids, has_more), (vec!["5000-0", "4000-0", "3000-0"], true));
        assert_eq!(events[0].outboxes, both, "nothing says which");
    }

    #[test]
    fn a_dead_letter_counts_until_it_is_retired_or_sent() {
        let state_of = |retired: bool, sent: bool| {
            let mut events = Events::default();
            events.letter(letter("a", "e1", retired));
            if sent {
                let (hit, entry) = hit("e1", "1-0");
                events.entry(&["a".to_owned(), "b".to_owned()], &hit, entry);
            }
            let (events, _) = events.newest(10);
            assert_eq!((events.len(), &events[0].outboxes[..]), (1, &["a".to_owned()][..]));
            events[0].state
        };
        assert_eq!(state_of(false, false), EventState::Dead);
        assert_eq!(state_of(true, false), EventState::Retired);
        assert_eq!(state_of(true, true), EventState::Sent);
        assert_eq!(state_of(false, true), EventState::Sent);
    }
}
