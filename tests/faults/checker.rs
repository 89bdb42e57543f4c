//! The checker: every committed event once in its stream or with its reason among the dead letters,
//! nothing else, and the counters of each key in order. If the relay trims, what each consumer
//! group has handled counts instead of what is left.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;

use outflow_connect::redis::{Args, Redis, Reply};
use tokio_postgres::Client;
use uuid::Uuid;

use super::kept::Flushed;
use super::pitr::Back;
use super::readers::Handled;

const PAGE: &str = "1000";
/// So many of each sort are told in full.
const TOLD: usize = 20;

/// What was committed.
struct Noted {
    key: String,
    stream: String,
    n: i64,
    /// Why it must be a dead letter, if it must.
    due: Option<String>,
    /// Where it came out: entries, or dead letters with their reason.
    found: Vec<String>,
    /// The last of its entries: how often Redis was emptied before, and its time in ms.
    last: (usize, u64),
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    id: Option<Uuid>,
    key: String,
    n: Option<i64>,
    /// Whether Postgres may have forgotten it after a crash.
    is_async: bool,
}

impl Entry {
    /// Its id in the stream, and what it says.
    pub(crate) fn parse(entry: &Reply) -> (String, Self) {
        let (at, mut fields) = fields(entry);
        let payload = fields.get("payload").map_or("", String::as_str);
        let payload: serde_json::Value = serde_json::from_str(payload).unwrap_or_default();
        let id = fields.get("id").and_then(|id| id.parse().ok());
        let key = fields.remove("key").unwrap_or_default();
        let is_async = payload["async"].as_bool().unwrap_or(false);
        (at, Self { id, key, n: payload["n"].as_i64(), is_async })
    }

    pub(crate) fn id(&self) -> Option<Uuid> {
        self.id
    }
}

/// What is wrong, each in words.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) events: usize,
    pub(crate) dead: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
    pub(crate) disordered: Vec<String>,
    /// Events that were rolled back, changed, or dead for no reason.
    pub(crate) strange: Vec<String>,
    /// What the members should not have done or said.
    pub(crate) complaints: Vec<String>,
    /// Delivered once more after Redis had been emptied: how long before that they had been
    /// delivered, in ms.
    pub(crate) resent: Vec<u64>,
    /// Delivered once more after Postgres had gone back in time.
    pub(crate) again: usize,
    /// Entries of events that Postgres has forgotten: in a crash, or because it went back in time.
    pub(crate) forgotten: usize,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        self.sorts().iter().all(|(_, found)| found.is_empty())
    }

    fn sorts(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("out of order", &self.disordered),
            ("strange", &self.strange),
            ("complaints", &self.complaints),
        ]
    }

    /// `0 lost, 0 doubled, 0 out of order`, and the rest when there is any.
    pub(crate) fn counts(&self) -> String {
        let sorts = self
            .sorts()
            .into_iter()
            .enumerate()
            .filter(|(at, (_, found))| *at < 3 || !found.is_empty());
        sorts
            .map(|(_, (sort, found))| format!("{} {sort}", found.len()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// What is no fault of the relay: what servers that went back in time have taken with them.
    pub(crate) fn excused(&self) -> String {
        let mut said = Vec::new();
        if let Some(oldest) = self.resent.iter().max() {
            let count = self.resent.len();
            said.push(format!(
                "{count} sent again after a flush (the oldest {oldest} ms before it), "
            ));
        }
        if self.again > 0 {
            said.push(format!("{} sent again after Postgres went back, ", self.again));
        }
        if self.forgotten > 0 {
            said.push(format!("{} forgotten by Postgres, ", self.forgotten));
        }
        said.concat()
    }

    /// What is wrong with what a group has handled.
    fn absorb(&mut self, group: &str, of_group: Self) {
        let Self { lost, doubled, disordered, strange, complaints, .. } = of_group;
        for (all, of_group) in [
            (&mut self.lost, lost),
            (&mut self.doubled, doubled),
            (&mut self.disordered, disordered),
            (&mut self.strange, strange),
            (&mut self.complaints, complaints),
        ] {
            all.extend(of_group.into_iter().map(|what| format!("{group}: {what}")));
        }
    }

    /// The offenders.
    pub(crate) fn told(&self) -> String {
        let mut text = String::new();
        for (sort, found) in self.sorts() {
            for one in found.iter().take(TOLD) {
                let _ = writeln!(text, "{sort}: {one}");
            }
            if found.len() > TOLD {
                let _ = writeln!(text, "{sort}: and {} more", found.len() - TOLD);
            }
        }
        text
    }
}

/// Reads everything; nobody writes any more. `gone`: what Redis has lost, which must be missing.
/// `flushed`: what the streams held whenever Redis was emptied. `backs`: what Postgres forgot
/// whenever it went back in time.
pub(crate) async fn check(
    postgres: &Client,
    redis: &Redis,
    gone: &HashSet<Uuid>,
    flushed: Vec<Flushed>,
    backs: &[Back],
) -> Verdict {
    let (noted, letters) = (ledger(postgres).await, letters(postgres).await);
    let mut entries = Vec::new();
    for stream in streams(&noted) {
        let of_stream = read(redis, &stream).await;
        entries.push((stream, of_stream));
    }
    let (mut ends, mut all) = (Vec::new(), Vec::new());
    for Flushed { at, streams } in flushed {
        ends.push(at);
        all.push(streams);
    }
    all.push(entries);
    judge(noted, &letters, &History { all, ends, backs }, gone)
}

/// What was read, and what has happened to the servers meanwhile.
struct History<'a> {
    /// The streams, before each flush and at the end.
    all: Vec<Vec<(String, Entries)>>,
    /// When each flush was.
    ends: Vec<u64>,
    backs: &'a [Back],
}

/// The same of what each group has handled, which is all that there was.
pub(crate) async fn check_handled(
    postgres: &Client,
    handled: Vec<(&'static str, Handled)>,
) -> Verdict {
    let letters = letters(postgres).await;
    let mut verdict = Verdict::default();
    for (group, streams) in handled {
        let noted = ledger(postgres).await;
        let entries = streams.into_iter().map(|(stream, entries)| {
            let entries =
                entries.into_iter().map(|((ms, seq), entry)| (format!("{ms}-{seq}"), entry));
            (stream, entries.collect())
        });
        let history = History { all: vec![entries.collect()], ends: Vec::new(), backs: &[] };
        let of_group = judge(noted, &letters, &history, &HashSet::new());
        (verdict.events, verdict.dead) = (of_group.events, of_group.dead);
        verdict.absorb(group, of_group);
    }
    verdict
}

fn streams(noted: &HashMap<Uuid, Noted>) -> BTreeSet<String> {
    noted.values().map(|event| event.stream.clone()).collect()
}

/// Entries of a stream, in order.
pub(crate) type Entries = Vec<(String, Entry)>;

fn judge(
    mut noted: HashMap<Uuid, Noted>,
    letters: &[Letter],
    history: &History<'_>,
    gone: &HashSet<Uuid>,
) -> Verdict {
    let mut verdict = Verdict { events: noted.len(), dead: letters.len(), ..Verdict::default() };
    for (flushes, of_streams) in history.all.iter().enumerate() {
        for (stream, entries) in of_streams {
            follow(stream, entries, (flushes, history), &mut noted, &mut verdict);
        }
    }
    dead_letters(letters, &mut noted, &mut verdict);
    for (id, event) in &noted {
        let Noted { key, n, found, .. } = event;
        match found.len() {
            0 if gone.contains(id) => {}
            _ if gone.contains(id) => {
                verdict.strange.push(format!(
                    "{key} {n} (event {id}) was gone with Redis: {}",
                    found.join(" and ")
                ));
            }
            0 => verdict.lost.push(format!("{key} {n} (event {id}) of {}", event.stream)),
            1 => {}
            _ => verdict.doubled.push(format!("{key} {n} (event {id}): {}", found.join(" and "))),
        }
    }
    verdict.lost.sort_unstable();
    verdict
}

/// The committed events that are nowhere. Nobody appends meanwhile.
pub(crate) async fn missing(postgres: &Client, redis: &Redis) -> HashSet<Uuid> {
    const NOWHERE: &str = "select l.event_id, l.kind from ledger l \
        where not exists (select from outbox o where o.event_id = l.event_id) \
        and not exists (select from outflow.dead_letter d where d.event_id = l.event_id::text)";
    let rows = postgres.query(NOWHERE, &[]).await.expect("the ledger");
    let mut missing: HashSet<Uuid> = rows.iter().map(|row| row.get(0)).collect();
    let streams: HashSet<String> =
        rows.iter().map(|row| format!("events.{}", row.get::<_, String>(1))).collect();
    for stream in streams {
        let mut from = "-".to_owned();
        loop {
            let page = redis
                .call("XRANGE", [&stream, &from, "+", "COUNT", PAGE].into())
                .await
                .expect("a page");
            for entry in page.items() {
                let (entry, fields) = fields(entry);
                from = format!("({entry}");
                if let Some(id) = fields.get("id").and_then(|id| id.parse().ok()) {
                    missing.remove(&id);
                }
            }
            if page.items().is_empty() {
                break;
            }
        }
    }
    missing
}

async fn ledger(postgres: &Client) -> HashMap<Uuid, Noted> {
    let rows = postgres
        .query("select event_id, key, kind, n, due from ledger", &[])
        .await
        .expect("the ledger");
    let noted = rows.iter().map(|row| {
        let stream = format!("events.{}", row.get::<_, String>(2));
        let noted = Noted {
            key: row.get(1),
            stream,
            n: row.get(3),
            due: row.get(4),
            found: Vec::new(),
            last: (0, 0),
        };
        (row.get(0), noted)
    });
    noted.collect()
}

async fn read(redis: &Redis, stream: &str) -> Entries {
    let (mut from, mut entries) = ("-".to_owned(), Vec::new());
    while let Some((last, page)) = page(redis, stream, &from).await.expect("a page") {
        entries.extend(page);
        from = format!("({last}");
    }
    entries
}

/// Some entries, and the id of the last one; none behind the last.
pub(crate) async fn page(
    redis: &Redis,
    stream: &str,
    from: &str,
) -> Result<Option<(String, Entries)>, outflow_connect::redis::Failure> {
    let args: Args = [stream, from, "+", "COUNT", PAGE].into();
    let page = redis.call("XRANGE", args).await?;
    let entries: Entries = page.items().iter().map(Entry::parse).collect();
    Ok(entries.last().map(|(last, _)| last.clone()).map(|last| (last, entries)))
}

fn follow(
    stream: &str,
    entries: &Entries,
    (flushes, history): (usize, &History<'_>),
    noted: &mut HashMap<Uuid, Noted>,
    verdict: &mut Verdict,
) {
    // The last counter of each key, and where it stands.
    let mut last: HashMap<String, (i64, String)> = HashMap::new();
    for (entry, said) in entries {
        let at = format!("{stream} {entry}");
        let forgotten = |id| history.backs.iter().any(|back| back.has_forgotten(&id));
        let Some(event) = said.id.and_then(|id| noted.get_mut(&id)) else {
            if said.is_async || said.id.is_some_and(forgotten) {
                verdict.forgotten += 1;
                continue;
            }
            verdict.strange.push(format!("{at}: {said:?} was never committed"));
            continue;
        };
        if event.stream != *stream || event.key != said.key || said.n != Some(event.n) {
            verdict.strange.push(format!("{at}: {said:?} is not {} {}", event.key, event.n));
        }
        if let Some(due) = &event.due {
            verdict
                .strange
                .push(format!("{at}: {} {} was to be a dead letter: {due}", event.key, event.n));
        }
        let time = entry.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let (before, delivered) = std::mem::replace(&mut event.last, (flushes, time));
        if !event.found.is_empty() && before < flushes {
            verdict.resent.push(history.ends[before].saturating_sub(delivered));
        } else if !event.found.is_empty()
            && history
                .backs
                .iter()
                .any(|back| said.id.is_some_and(|id| back.excuses(&id, delivered, time)))
        {
            verdict.again += 1;
            continue;
        } else {
            event.found.push(at.clone());
            if event.found.len() > 1 {
                continue;
            }
        }
        let before = last.insert(event.key.clone(), (event.n, at.clone()));
        if let Some((n, before)) = before.filter(|(n, _)| *n >= event.n) {
            verdict
                .disordered
                .push(format!("{} {} at {at} comes after {n} at {before}", event.key, event.n));
        }
    }
}

/// A dead letter: its event's id, key and reason.
type Letter = (String, String, String);

async fn letters(postgres: &Client) -> Vec<Letter> {
    let rows = postgres
        .query("select event_id, key, reason from outflow.dead_letter", &[])
        .await
        .expect("dead letters");
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

fn dead_letters(letters: &[Letter], noted: &mut HashMap<Uuid, Noted>, verdict: &mut Verdict) {
    for (id, key, reason) in letters {
        match id.parse().ok().and_then(|id: Uuid| noted.get_mut(&id)) {
            Some(event) => {
                if event.due.as_deref() != Some(&**reason) {
                    verdict.strange.push(format!("{key} {} is a dead letter: {reason}", event.n));
                }
                event.found.push(format!("the dead letters ({reason})"));
            }
            None => verdict.strange.push(format!("dead letter {id} of {key} was never committed")),
        }
    }
}

fn fields(entry: &Reply) -> (String, HashMap<String, String>) {
    let [id, fields] = entry.items() else { panic!("no entry: {entry:?}") };
    let text = |reply: &Reply| String::from_utf8_lossy(reply.text().expect("a text")).into_owned();
    let pairs = fields.items().chunks_exact(2).map(|pair| (text(&pair[0]), text(&pair[1])));
    (text(id), pairs.collect())
}
