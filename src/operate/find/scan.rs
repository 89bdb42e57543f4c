//! Reads a stream backwards, page by page, and picks the entries that fit. A stream has no index by
//! event id: whoever looks for one reads the entries.

use jiff::Timestamp;

use crate::relay::encode::Format;
use crate::relay::outbox::lookup::Wanted;
use crate::relay::trace::trace_parent;
use outflow_connect::redis::{Args, Failure, Redis, Reply};
use outflow_core::entry_field::{HEADERS, ID, KEY, TIME, TYPE};

/// Entries of the first page, and of the largest.
const PAGE: (u64, u64) = (16, 100);
/// Bytes that a page is meant to have, if no entry is larger than those before it. Behind small
/// ones there may be large ones, which nobody knows before they are here: hence the limit above.
const PAGE_BYTES: u64 = 2 << 20;
/// As `CloudEvents` call the ordering key.
const PARTITION_KEY: &str = "partitionkey";
/// What consumers add to a dead letter begins with this.
const ADDED: &str = "dead_";
/// Characters of a value that are kept.
const SHOWN: usize = 400;
/// How far a search is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The stream.
    pub stream: String,
    /// Which one it is, from 1 on, and of how many.
    pub number: (usize, usize),
    /// Entries of it that were looked at.
    pub looked_at: u64,
    /// The oldest of them.
    pub back_to: Option<Timestamp>,
}

/// An entry that fits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) stream: String,
    pub(super) id: String,
    pub(super) event_id: Option<String>,
    pub(super) key: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) time: Option<String>,
    pub(super) trace_id: Option<String>,
    /// What a consumer added to a dead letter, without the prefix.
    pub(super) added: Vec<(String, String)>,
}

impl Hit {
    pub(super) fn added(&self, name: &str) -> Option<String> {
        self.added.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(super) fn appended_at(&self) -> Option<Timestamp> {
        time_of(&self.id)
    }
}

/// What a search reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Only entries from then on.
    pub(super) since: Option<Timestamp>,
    /// Only so many of the newest ones; `None`: all.
    pub(super) entries: Option<u64>,
    /// So many that fit are enough.
    pub(super) hits: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) hits: Vec<Hit>,
    pub(super) looked_at: u64,
    pub(super) back_to: Option<Timestamp>,
    /// Whether the beginning of the stream was reached.
    pub(super) is_whole: bool,
    /// Whether it ended because enough was found.
    pub(super) is_full: bool,
}

/// Which values are looked for.
#[derive(Debug, Clone)]
pub(super) struct Sought {
    /// Ids, keys or a trace.
    by: By,
    /// As they were typed, and as Postgres prints them.
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    EventId,
    Key,
    Trace,
}

impl Sought {
    /// The same value in several forms.
    pub(super) fn new(forms: &[Wanted]) -> Self {
        let (mut by, mut values) = (By::Trace, Vec::new());
        for form in forms {
            let value = match form {
                Wanted::EventId(id) => (By::EventId, id),
                Wanted::Key(key) => (By::Key, key),
                Wanted::Trace(id) => (By::Trace, id),
            };
            by = value.0;
            if !values.contains(value.1) {
                values.push(value.1.clone());
            }
        }
        Self { by, values }
    }

    /// Whether entries of this format say it.
    pub(super) fn is_said_by(&self, format: Format) -> bool {
        match (format, self.by) {
            (Format::Payload, _) | (Format::Debezium, By::EventId) => false,
            (Format::Fields | Format::CloudEvents | Format::Debezium, _) => true,
        }
    }

    /// In the words of the command line.
    pub(super) fn words(&self) -> &'static str {
        match self.by {
            By::EventId => "event id",
            By::Key => "key",
            By::Trace => "trace",
        }
    }

    fn fits(&self, hit: &Hit) -> bool {
        let value = match self.by {
            By::EventId => &hit.event_id,
            By::Key => &hit.key,
            By::Trace => &hit.trace_id,
        };
        value.as_ref().is_some_and(|value| self.values.contains(value))
    }
}

/// Reads a stream from its end; one that does not exist has no entries.
///
/// # Errors
/// Redis refuses, or does not answer.
pub(super) async fn scan(
    redis: &Redis,
    stream: &str,
    sought: &Sought,
    bounds: Bounds,
    told: &mut impl FnMut(u64, Option<Timestamp>),
) -> Result<Scanned, Failure> {
    let mut scanned = Scanned::default();
    let (mut to, mut page, mut largest) = ("+".to_owned(), PAGE.0, 1);
    let from = bounds
        .since
        .map_or_else(|| "-".to_owned(), |since| since.as_millisecond().max(0).to_string());
    loop {
        let left = bounds.entries.map_or(u64::MAX, |entries| entries - scanned.looked_at);
        if left == 0 {
            return Ok(scanned);
        }
        let count = page.min(left);
        let mut args = Args::from([stream, &to, &from, "COUNT"]);
        args.int(i64::try_from(count).unwrap_or(i64::MAX));
        let reply = redis.call("XREVRANGE", args).await?;
        let entries = reply.items();
        for entry in entries {
            let Some(hit) = hit(stream, entry) else {
                return Err(Failure::Unknown("an unexpected reply to XREVRANGE".to_owned()));
            };
            scanned.looked_at += 1;
            scanned.back_to = hit.appended_at();
            to = format!("({}", hit.id);
            if sought.fits(&hit) {
                scanned.hits.push(hit);
                if scanned.hits.len() >= bounds.hits {
                    scanned.is_full = true;
                    return Ok(scanned);
                }
            }
        }
        let got = entries.len() as u64;
        if got < count {
            scanned.is_whole = bounds.since.is_none();
            return Ok(scanned);
        }
        told(scanned.looked_at, scanned.back_to);
        largest = entries.iter().map(size).fold(largest, u64::max);
        page = (page * 2).min(PAGE_BYTES / largest).clamp(1, PAGE.1);
    }
}

fn size(reply: &Reply) -> u64 {
    match reply.text() {
        Some(text) => text.len() as u64,
        None => reply.items().iter().map(size).sum(),
    }
}

fn hit(stream: &str, entry: &Reply) -> Option<Hit> {
    let [id, fields] = entry.items() else { return None };
    let mut hit = Hit { stream: stream.to_owned(), id: id.string()?, ..Hit::default() };
    for pair in fields.items().chunks_exact(2) {
        let (Some(name), Some(value)) = (pair[0].text(), pair[1].text()) else { continue };
        let text = || {
            let text = String::from_utf8_lossy(value);
            Some(text.into_owned()).filter(|text| !text.is_empty())
        };
        let Ok(name) = std::str::from_utf8(name) else { continue };
        match name {
            ID => hit.event_id = text(),
            KEY | PARTITION_KEY => hit.key = text(),
            TYPE => hit.kind = text(),
            TIME => hit.time = text(),
            HEADERS => {
                hit.trace_id = trace_parent(value).map(|parent| parent.trace_id().to_owned());
            }
            _ => {
                if let Some(added) = name.strip_prefix(ADDED) {
                    let shown = text().unwrap_or_default().chars().take(SHOWN).collect();
                    hit.added.push((added.to_owned(), shown));
                }
            }
        }
    }
    Some(hit)
}

/// The moment in an entry's id.
fn time_of(id: &str) -> Option<Timestamp> {
    let (ms, _) = id.split_once('-')?;
    Timestamp::from_millisecond(ms.parse().ok()?).ok()
}

/// What Redis said, with the line that allows it if it is a matter of that.
pub(super) fn refused(failure: &Failure, user: &str, rule: &str) -> String {
    if failure.code() == Some("NOPERM") {
        return format!("{failure}; run in redis-cli: ACL SETUSER {user} +{rule}");
    }
    failure.to_string()
}
