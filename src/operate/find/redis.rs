//! The Redis side of a search: which streams can have the event, their entries, and what groups
//! have done with these.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::found::{ConsumerLetter, FoundEntry, StreamLook};
use super::groups::Groups;
use super::scan::{Bounds, Hit, Progress, Sought, refused, scan};
use crate::operate::status::streams_within;
use crate::relay::options::OutboxOptions;
use crate::relay::sink::written::Registry;
use outflow_connect::redis::{Args, Redis};
use outflow_consumer::{DeadLetters, Source};

/// Streams of an outbox that are looked for by their names.
const STREAMS_MAX: usize = 10_000;
/// Of each stream, so many of the newest entries, unless a time says how far to look.
pub const ENTRIES_MAX: u64 = 100_000;
/// Of all streams together, unless a time says how far to look.
const ALL_ENTRIES_MAX: u64 = 2_000_000;

/// Where one outbox may have put the event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// The outbox.
    pub(super) outbox: &'a OutboxOptions,
    /// Names its journal, if that is known.
    pub(super) journal: Option<&'a str>,
    /// The only streams that it can be in; `None`: all of the outbox.
    pub(super) only: Option<&'a BTreeSet<String>>,
}

/// What was found in Redis.
#[derive(Debug, Default)]
pub(super) struct InRedis {
    /// Entries, each with the outboxes that write its stream.
    pub(super) entries: Vec<(Vec<String>, Hit, FoundEntry)>,
    /// Dead letters of consumers, the same.
    pub(super) letters: Vec<(Vec<String>, Hit, ConsumerLetter)>,
    /// What was looked at.
    pub(super) looks: Vec<StreamLook>,
    /// Whether a stream has more that fits than was asked for.
    pub(super) has_more: bool,
}

/// Looks for entries.
pub(super) struct Search<'a> {
    pub(super) redis: &'a Redis,
    /// For the line that allows what is forbidden.
    pub(super) user: &'a str,
    pub(super) sought: &'a Sought,
    pub(super) since: Option<Timestamp>,
    pub(super) limit: usize,
}

impl Search<'_> {
    /// Looks through the streams of these outboxes, each stream once.
    pub(super) async fn run(
        &self,
        places: &[Place<'_>],
        told: &mut impl FnMut(Progress),
    ) -> InRedis {
        let mut found = InRedis::default();
        let mut streams: BTreeMap<String, Vec<&OutboxOptions>> = BTreeMap::new();
        for place in places {
            for name in self.names(place, &mut found.looks).await {
                streams.entry(name).or_default().push(place.outbox);
            }
        }
        let dead_of = |stream: &String| {
            let dead = DeadLetters::with_connection(self.redis.clone(), Source::new(stream));
            dead.stream().to_owned()
        };
        let dead: BTreeSet<String> = streams.keys().map(dead_of).collect();
        // A template can fit the names of dead-letter streams, too.
        let is_of_consumers = |name: &String| {
            dead.contains(name) || name.strip_suffix(".audit").is_some_and(|of| dead.contains(of))
        };
        streams.retain(|name, _| !is_of_consumers(name));
        let mut budget = ALL_ENTRIES_MAX;
        let total = streams.len();
        for (number, (stream, writers)) in (1..).zip(&streams) {
            let is_said = |writer: &&OutboxOptions| self.sought.is_said_by(writer.format);
            if !writers.iter().any(is_said) {
                let problem = format!(
                    "its entries have no field for the {}, because of the format of the outbox",
                    self.sought.words()
                );
                found.looks.push(not_looked(stream, problem));
                continue;
            }
            let names: Vec<String> = writers.iter().map(|writer| writer.name.clone()).collect();
            let told = &mut |looked_at, back_to| {
                let stream = stream.clone();
                told(Progress { stream, number: (number, total), looked_at, back_to });
            };
            let letters = self.hits(&dead_of(stream), &mut budget, &mut found, told, true).await;
            let letters: Vec<(Hit, ConsumerLetter)> =
                letters.into_iter().map(|hit| (hit.clone(), letter(&hit))).collect();
            let hits = self.hits(stream, &mut budget, &mut found, told, false).await;
            let all: Vec<ConsumerLetter> =
                letters.iter().map(|(_, letter)| letter.clone()).collect();
            let groups = if hits.is_empty() {
                Groups::default()
            } else {
                Groups::of(self.redis, self.user, stream).await
            };
            for hit in hits {
                let mut entry = FoundEntry {
                    stream: hit.stream.clone(),
                    id: hit.id.clone(),
                    appended_at: hit.appended_at(),
                    groups: Vec::new(),
                    problems: Vec::new(),
                };
                groups.fill(self.redis, self.user, &mut entry, &all).await;
                found.entries.push((names.clone(), hit, entry));
            }
            let of_names = letters.into_iter().map(|(hit, letter)| (names.clone(), hit, letter));
            found.letters.extend(of_names);
        }
        found
    }

    /// The streams that can have the event.
    async fn names(&self, place: &Place<'_>, looks: &mut Vec<StreamLook>) -> BTreeSet<String> {
        if let Some(only) = place.only {
            return only.clone();
        }
        let template = &place.outbox.stream;
        let tag = template.hash_tag();
        let mut names = BTreeSet::new();
        // What the relays have noted; a user need not be able to read it.
        if let Some(journal) = place.journal {
            let registry = Registry::new(self.redis.clone(), journal, tag);
            let known = registry.all().await.unwrap_or_default();
            names.extend(known.into_iter().filter(|name| template.fits(name)));
        }
        let scanned = match self.redis.server_of(tag.unwrap_or_default()).await {
            Ok(server) => streams_within(&server, template, STREAMS_MAX).await,
            Err(failure) => Err(failure),
        };
        match scanned {
            Ok((known, is_complete)) => {
                names.extend(known);
                if !is_complete {
                    let problem =
                        "not all of its streams are known: there are too many keys or streams";
                    looks.push(not_looked(&template.to_string(), problem.to_owned()));
                }
            }
            Err(failure) => {
                let problem = refused(&failure, self.user, "scan");
                looks.push(not_looked(&template.to_string(), problem));
            }
        }
        names
    }

    /// The entries of one stream that fit; notes what was looked at. A dead-letter stream that does
    /// not exist is not worth a word.
    async fn hits(
        &self,
        stream: &str,
        budget: &mut u64,
        found: &mut InRedis,
        told: &mut impl FnMut(u64, Option<Timestamp>),
        may_be_missing: bool,
    ) -> Vec<Hit> {
        let entries = self.since.is_none().then_some(ENTRIES_MAX.min(*budget));
        // One more tells whether there are more.
        let bounds = Bounds { since: self.since, entries, hits: self.limit + 1 };
        let length = self.redis.call("XLEN", Args::from([stream])).await.ok();
        let length = length.and_then(|reply| reply.int());
        if may_be_missing && length == Some(0) {
            return Vec::new();
        }
        let mut scanned = match scan(self.redis, stream, self.sought, bounds, told).await {
            Ok(scanned) => scanned,
            Err(failure) => {
                let problem = refused(&failure, self.user, "xrevrange");
                found.looks.push(StreamLook { entries: length, ..not_looked(stream, problem) });
                return Vec::new();
            }
        };
        *budget -= scanned.looked_at.min(*budget);
        let is_all = length.is_some_and(|all| u64::try_from(all).unwrap_or(0) <= scanned.looked_at);
        found.has_more |= scanned.is_full;
        found.looks.push(StreamLook {
            stream: stream.to_owned(),
            looked_at: scanned.looked_at,
            entries: length,
            back_to: scanned.back_to,
            is_complete: scanned.is_whole || is_all,
            problem: None,
        });
        scanned.hits.truncate(self.limit);
        scanned.hits
    }
}

fn not_looked(stream: &str, problem: String) -> StreamLook {
    StreamLook { stream: stream.to_owned(), problem: Some(problem), ..StreamLook::default() }
}

fn letter(hit: &Hit) -> ConsumerLetter {
    ConsumerLetter {
        stream: hit.stream.clone(),
        id: hit.id.clone(),
        from_stream: hit.added("stream"),
        entry_id: hit.added("entry_id"),
        group: hit.added("group"),
        attempts: hit.added("attempts").and_then(|attempts| attempts.parse().ok()),
        error: hit.added("error"),
    }
}
