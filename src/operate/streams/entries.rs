//! The entries of a stream: some at a time, from an id on, and those that somebody looks for. What
//! is read is bounded in entries, bytes and time, so that a page of a stream with millions of
//! entries, or with entries of many megabytes, costs what any other costs.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;

use super::field::{Entry, size, value};
use super::{Streams, is_absent};
use outflow_connect::redis::{Args, Reply};
use outflow_consumer::EntryId;
use outflow_core::entry_field::{ID, KEY, TYPE};
use outflow_core::fault::Fault;

/// Entries that one search looks at.
const LOOKED_MAX: usize = 20_000;
/// How long one search may take.
const LIMIT: Duration = Duration::from_millis(120);
/// Bytes of entries that one search reads.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes that one command should answer with.
const STEP_BYTES: usize = 1024 * 1024;
/// Entries that the first command asks for, when their size is unknown, and a later one at most.
const FIRST_STEP: usize = 5;
const STEP_MAX: usize = 100;
/// Bytes of a value that a list shows, and an entry by itself.
pub(super) const LIST_BYTES: usize = 4 * 1024;
const ONE_BYTES: usize = 256 * 1024;

/// Which entries are wanted. A field that is `None` does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// With this ordering key.
    pub key: Option<String>,
    /// Of this type.
    pub kind: Option<String>,
    /// With this event id.
    pub event_id: Option<String>,
    /// Appended at or after this time.
    pub since: Option<Timestamp>,
    /// Appended before this time.
    pub until: Option<Timestamp>,
}

/// Every entry.
pub(super) const ALL: Wanted =
    Wanted { key: None, kind: None, event_id: None, since: None, until: None };

/// From where to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Look {
    /// From the newest entry on.
    #[default]
    Newest,
    /// From the one before this one on, towards the older ones.
    Before(EntryId),
    /// From the one after this one on, towards the newer ones.
    After(EntryId),
}

/// Some entries, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// These.
    pub entries: Vec<Entry>,
    /// How many entries were looked at to find them.
    pub looked: usize,
    /// The last one that was looked at: a further search goes on from there.
    pub last_looked: Option<String>,
    /// Why there are no more.
    pub seen: Seen,
}

/// How far a search came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// To the end of the stream, or of the time that was asked for.
    All,
    /// As many were found as were wanted.
    Enough,
    /// As far as one search goes.
    Bounded,
}

impl Wanted {
    /// The range of ids that the times stand for.
    fn range(&self) -> (String, String) {
        let ms = |time: Timestamp| time.as_millisecond().max(0);
        let low = self.since.map_or("-".to_owned(), |since| ms(since).to_string());
        let high = self.until.map(|until| match ms(until) {
            0 => "0-0".to_owned(),
            until => (until - 1).to_string(),
        });
        (low, high.unwrap_or_else(|| "+".to_owned()))
    }

    fn lets_through(&self, item: &Reply) -> bool {
        let is = |name: &str, wanted: &str| value(item, name) == Some(wanted.as_bytes());
        let of = |wanted: &Option<String>, names: &[&str]| {
            wanted.as_ref().is_none_or(|wanted| names.iter().any(|name| is(name, wanted)))
        };
        of(&self.key, &[KEY, "partitionkey"])
            && of(&self.kind, &[TYPE])
            && of(&self.event_id, &[ID])
    }
}

/// How much one walk may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) looked: usize,
    pub(super) bytes: usize,
    pub(super) limit: Duration,
}

/// Of a page.
pub(super) const PAGE: Bounds = Bounds { looked: LOOKED_MAX, bytes: BYTES_MAX, limit: LIMIT };

/// How far a walk came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) looked: usize,
    pub(super) last: Option<String>,
    pub(super) seen: Seen,
}

impl Streams {
    /// Some entries of a stream; none if there is no such stream. Without `contents` only what
    /// tells the events from each other.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn entries(
        &self,
        stream: &str,
        wanted: &Wanted,
        look: Look,
        take: usize,
        contents: bool,
    ) -> Result<Page, Fault> {
        let mut entries = Vec::new();
        let walk = self.walk(stream, wanted, look, PAGE, |item| {
            if wanted.lets_through(item) {
                entries.extend(Entry::of(item, LIST_BYTES, contents));
            }
            entries.len() < take
        });
        let Walked { looked, last, seen } = walk.await?;
        if matches!(look, Look::After(_)) {
            entries.reverse();
        }
        Ok(Page { entries, looked, last_looked: last, seen })
    }

    /// Shows each entry of a range to `visit`, until it says that it has seen enough.
    pub(super) async fn walk(
        &self,
        stream: &str,
        wanted: &Wanted,
        look: Look,
        bounds: Bounds,
        mut visit: impl FnMut(&Reply) -> bool,
    ) -> Result<Walked, Fault> {
        let started = Instant::now();
        let (mut low, mut high) = wanted.range();
        let towards_newer = matches!(look, Look::After(_));
        match look {
            Look::Newest => {}
            Look::Before(id) => high = earlier(high, id),
            Look::After(id) => low = later(low, id),
        }
        let mut walked = Walked { looked: 0, last: None, seen: Seen::All };
        let (mut bytes, mut largest, mut step) = (0, 1, FIRST_STEP);
        loop {
            let reply = self.range(stream, (&low, &high), step, towards_newer).await?;
            let items = reply.items();
            for item in items {
                bytes += size(item);
                largest = largest.max(size(item));
                walked.looked += 1;
                walked.last = item.items().first().and_then(Reply::string);
                if !visit(item) {
                    walked.seen = Seen::Enough;
                    return Ok(walked);
                }
            }
            if items.len() < step {
                return Ok(walked);
            }
            let is_over = walked.looked >= bounds.looked || bytes >= bounds.bytes;
            if is_over || started.elapsed() >= bounds.limit {
                walked.seen = Seen::Bounded;
                return Ok(walked);
            }
            let Some(last) = &walked.last else { return Ok(walked) };
            *(if towards_newer { &mut low } else { &mut high }) = format!("({last}");
            // Behind small entries there may be large ones; nobody knows before they are here.
            step = (2 * step).min(STEP_BYTES / largest).clamp(1, STEP_MAX);
        }
    }

    /// One entry; of each value the first quarter of a megabyte. `None` if it is not there.
    ///
    /// # Errors
    /// Redis refuses or does not answer.
    pub async fn entry(
        &self,
        stream: &str,
        id: EntryId,
        contents: bool,
    ) -> Result<Option<Entry>, Fault> {
        let id = id.to_string();
        let reply = self.range(stream, (&id, &id), 1, true).await?;
        Ok(reply.items().first().and_then(|item| Entry::of(item, ONE_BYTES, contents)))
    }

    async fn range(
        &self,
        stream: &str,
        (low, high): (&str, &str),
        count: usize,
        towards_newer: bool,
    ) -> Result<Reply, Fault> {
        let (command, rule) =
            if towards_newer { ("XRANGE", "xrange") } else { ("XREVRANGE", "xrevrange") };
        let (from, to) = if towards_newer { (low, high) } else { (high, low) };
        let mut args = Args::from([stream, from, to, "COUNT"]);
        args.int(i64::try_from(count).unwrap_or(i64::MAX));
        match self.redis.call(command, args).await {
            Ok(reply) => Ok(reply),
            Err(failure) if is_absent(&failure) => Ok(Reply::List(Vec::new())),
            Err(failure) => Err(self.forbidden(failure, rule)),
        }
    }
}

/// The earlier of an end and of what comes before an entry.
fn earlier(high: String, id: EntryId) -> String {
    let end = high.parse::<u64>().ok();
    if end.is_some_and(|end| end < id.ms) { high } else { format!("({id}") }
}

/// The later of a beginning and of what comes after an entry.
fn later(low: String, id: EntryId) -> String {
    let begin = low.parse::<u64>().ok();
    if begin.is_some_and(|begin| begin > id.ms) { low } else { format!("({id}") }
}
