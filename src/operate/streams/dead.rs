//! The dead letters of consumers, by what they have in common. What is read of a stream with very
//! many of them is bounded.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::entries::{ALL, Bounds, LIST_BYTES, PAGE, Walked};
use super::field::value;
use super::{Entry, Look, Page, Seen, Streams, is_absent};
use outflow_connect::redis::{Args, Reply};
use outflow_consumer::{DeadFilter, DeadLetters, EntryId, Source};
use outflow_core::entry_field::TYPE;
use outflow_core::fault::Fault;

/// Groups that are told.
const GROUPS_MAX: usize = 200;
/// Characters of an error that tell one group from another.
const REASON_CHARS: usize = 160;
/// Characters of an error that are shown of a group.
const ERROR_CHARS: usize = 1_000;
/// How much is read to count.
const COUNT: Bounds =
    Bounds { looked: 2_000_000, bytes: usize::MAX, limit: Duration::from_secs(10) };

/// The dead letters of a stream, by what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadGroups {
    /// The stream that they came from.
    pub source: String,
    /// The stream that they are in.
    pub stream: String,
    /// How many there are.
    pub letters: i64,
    /// How many of them were looked at, the newest ones.
    pub looked: usize,
    /// How far that was.
    pub seen: Seen,
    /// The groups, the largest first.
    pub groups: Vec<DeadGroup>,
    /// How many groups there are.
    pub groups_found: usize,
}

/// Dead letters of one consumer group with the same type and, apart from numbers, the same error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadGroup {
    /// The consumer group that could not handle them.
    pub group: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What went wrong, with `#` for numbers. `None`: whoever asks may not see it.
    pub reason: Option<String>,
    /// The error of the newest one.
    pub error: Option<String>,
    /// How many there are.
    pub letters: usize,
    /// The most attempts that one had.
    pub attempts_max: u32,
    /// When the last one died.
    pub last_died_at: Option<Timestamp>,
}

/// Selects dead letters. A field that is `None` does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Only this one.
    pub id: Option<String>,
    /// Only those that this consumer group could not handle.
    pub group: Option<String>,
    /// Only events of this type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Only those with this error, as [`reason_of`] has it.
    pub reason: Option<String>,
    /// Only those up to this id: those that were there when somebody counted.
    pub last: Option<String>,
}

/// How many letters a selection has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// These, at least.
    pub letters: usize,
    /// How far was counted.
    pub seen: Seen,
    /// The last letter that there was.
    pub last: Option<String>,
}

/// How far an act came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Retried or discarded.
    pub done: u64,
    /// Could not be: gone already, or not whole.
    pub not_done: u64,
}

/// An error without what differs each time: its first line, with `#` for each number.
pub fn reason_of(error: &str) -> String {
    let (mut reason, mut chars) = (String::new(), 0);
    for letter in error.lines().next().unwrap_or_default().chars() {
        let letter = if letter.is_ascii_digit() { '#' } else { letter };
        if letter == '#' && reason.ends_with('#') {
            continue;
        }
        chars += 1;
        if chars > REASON_CHARS {
            break;
        }
        reason.push(letter);
    }
    reason
}

impl Selection {
    pub(super) fn lets_through(&self, item: &Reply) -> bool {
        let is = |name: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| text(item, name) == *wanted)
        };
        is("dead_group", &self.group)
            && is(TYPE, &self.kind)
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| reason_of(&text(item, "dead_error")) == *reason)
            && self.id.as_ref().is_none_or(|wanted| id(item).as_ref() == Some(wanted))
    }

    /// Whether an entry comes behind those that are meant.
    pub(super) fn is_behind(&self, item: &Reply) -> bool {
        let last = self.last.as_ref().and_then(|last| last.parse::<EntryId>().ok());
        let this = id(item).and_then(|id| id.parse::<EntryId>().ok());
        last.is_some_and(|last| this.is_some_and(|this| this > last))
    }

    /// As the stream's own audit has it.
    pub(super) fn filter(&self) -> DeadFilter {
        let mut filter = DeadFilter::default();
        filter.ids = self.id.as_ref().and_then(|id| id.parse().ok()).map(|id| vec![id]);
        filter.group.clone_from(&self.group);
        filter.event_type.clone_from(&self.kind);
        filter.reason.clone_from(&self.reason);
        filter
    }

    pub(super) fn noted(&self, source: &str) -> Value {
        let mut noted = json!(self);
        if let Value::Object(fields) = &mut noted {
            fields.retain(|_, value| !value.is_null());
            fields.insert("stream".to_owned(), source.into());
        }
        noted
    }
}

impl Streams {
    /// The dead letters of a stream. `None`: there are none. Without `contents` errors, which may
    /// quote what is in an event, neither tell groups apart nor are told.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn dead_groups(
        &self,
        source: &str,
        contents: bool,
    ) -> Result<Option<DeadGroups>, Fault> {
        let stream = self.dead_stream(source);
        let letters = self.length(&stream).await?;
        if letters == 0 {
            return Ok(None);
        }
        let mut groups = HashMap::new();
        let walk = self.walk(&stream, &ALL, Look::Newest, PAGE, |item| {
            count_in(&mut groups, item, contents);
            true
        });
        let Walked { looked, seen, .. } = walk.await?;
        let mut groups: Vec<DeadGroup> = groups.into_values().collect();
        groups.sort_by(|a, b| {
            let names = |group: &DeadGroup| (group.group.clone(), group.kind.clone());
            b.letters.cmp(&a.letters).then_with(|| names(a).cmp(&names(b)))
        });
        let groups_found = groups.len();
        groups.truncate(GROUPS_MAX);
        Ok(Some(DeadGroups {
            source: source.to_owned(),
            stream,
            letters,
            looked,
            seen,
            groups,
            groups_found,
        }))
    }

    /// Some of the letters that are selected, the newest first. Without `contents` only what tells
    /// them from each other.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn dead_letters(
        &self,
        source: &str,
        selection: &Selection,
        look: Look,
        take: usize,
        contents: bool,
    ) -> Result<Page, Fault> {
        let (stream, mut entries) = (self.dead_stream(source), Vec::new());
        let walk = self.walk(&stream, &ALL, look, PAGE, |item| {
            if selection.lets_through(item) {
                entries.extend(Entry::of(item, LIST_BYTES, contents));
            }
            entries.len() < take
        });
        let Walked { looked, last, seen } = walk.await?;
        Ok(Page { entries, looked, last_looked: last, seen })
    }

    /// Counts the letters that are selected, the oldest first.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn dead_count(&self, source: &str, selection: &Selection) -> Result<Counted, Fault> {
        let (stream, mut letters) = (self.dead_stream(source), 0);
        let begin = Look::After(EntryId::default());
        let walk = self.walk(&stream, &ALL, begin, COUNT, |item| {
            letters += usize::from(selection.lets_through(item));
            true
        });
        let Walked { seen, last, .. } = walk.await?;
        Ok(Counted { letters, seen, last })
    }

    /// How many entries a stream has; 0 if there is none.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn length(&self, stream: &str) -> Result<i64, Fault> {
        match self.redis.call("XLEN", Args::from([stream])).await {
            Ok(reply) => Ok(reply.int().unwrap_or(0)),
            Err(failure) if is_absent(&failure) => Ok(0),
            Err(failure) => Err(self.forbidden(failure, "xlen")),
        }
    }

    /// The stream that holds the dead letters of another.
    pub fn dead_stream(&self, source: &str) -> String {
        DeadLetters::with_connection(self.redis.clone(), Source::new(source)).stream().to_owned()
    }
}

/// Group, type and reason.
type Common = (String, String, Option<String>);

fn count_in(groups: &mut HashMap<Common, DeadGroup>, item: &Reply, contents: bool) {
    let error = contents.then(|| text(item, "dead_error"));
    let (group, kind) = (text(item, "dead_group"), text(item, TYPE));
    let reason = error.as_deref().map(reason_of);
    let known = groups.entry((group.clone(), kind.clone(), reason.clone()));
    let known = known.or_insert_with(|| DeadGroup {
        group,
        kind,
        reason,
        error: error.map(|error| error.chars().take(ERROR_CHARS).collect()),
        letters: 0,
        attempts_max: 0,
        last_died_at: text(item, "dead_at").parse().ok(),
    });
    known.letters += 1;
    known.attempts_max = known.attempts_max.max(text(item, "dead_attempts").parse().unwrap_or(0));
}

pub(super) fn id(item: &Reply) -> Option<String> {
    item.items().first()?.string()
}

/// A field of an entry as text; empty if it has none.
pub(super) fn text(item: &Reply, name: &str) -> String {
    value(item, name).map(String::from_utf8_lossy).unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use super::reason_of;

    #[test]
    fn errors_that_differ_in_numbers_only_are_of_one_reason() {
        let table = [
            ("line 1 column 12", "line # column #"),
            ("HTTP 500: timeout after 30s\nstack", "HTTP #: timeout after #s"),
            ("", ""),
            ("## 12", "# #"),
        ];
        for (error, reason) in table {
            assert_eq!(reason_of(error), reason);
            assert_eq!(reason_of(reason), reason, "again");
        }
        assert_eq!(reason_of(&"\u{e4}".repeat(1_000)).chars().count(), 160);
    }
}
