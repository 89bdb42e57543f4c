//! Many streams at a glance: a page of them, sorted, at a bounded cost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::join3;
use serde::Serialize;

use super::{Streams, failed, field, is_absent};
use crate::config::Config;
use crate::operate::status::{Reach, find};
use outflow_connect::redis::{Args, Reply};
use outflow_core::fault::Fault;

/// Streams that are looked for, of each outbox.
const STREAMS_MAX: usize = 10_000;
/// How long to look for them, all outboxes together.
const SEARCH_LIMIT: Duration = Duration::from_millis(100);
/// Streams whose figures are read to sort by them.
const FIGURES_MAX: usize = 2_000;
/// Streams that are asked about at a time, with three commands each. A connection refuses what is
/// more than 64 commands, and others may use it, too.
const TOGETHER: usize = 8;
/// Nodes of a stream that `MEMORY USAGE` looks at.
const SAMPLES: &str = "5";

/// What the streams are sorted by. Save for the name, the largest come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The name.
    #[default]
    Name,
    /// The number of entries.
    Entries,
    /// The memory that it takes.
    Memory,
    /// The lag of the group that is furthest behind.
    Lag,
    /// The pending entries of all groups.
    Pending,
}

/// Which streams are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// Only those whose names have this in them; empty: all.
    pub part: String,
    /// What they are sorted by.
    pub order: Order,
    /// How many are left out at the beginning.
    pub skip: usize,
    /// How many there may be.
    pub take: usize,
}

/// Some streams, of all that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct List {
    /// These.
    pub streams: Vec<Listed>,
    /// How many fit.
    pub found: usize,
    /// Whether there may be more streams than were found in time.
    pub is_incomplete: bool,
    /// Whether there were too many to sort all of them by a figure.
    pub is_partly_sorted: bool,
}

/// A stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub stream: String,
    /// Its entries; `None` if that could not be found out.
    pub entries: Option<i64>,
    /// Memory that it takes, estimated from a small sample.
    pub memory_bytes: Option<i64>,
    /// Its consumer groups.
    pub groups: Vec<ListedGroup>,
    /// What could not be found out, and why.
    pub problems: Vec<String>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedGroup {
    /// Its name.
    pub group: String,
    /// Entries that were not delivered yet. `None`: Redis does not know.
    pub lag: Option<i64>,
    /// Entries that were delivered and not acknowledged.
    pub pending: i64,
    /// How many consumers it has seen.
    pub consumers: i64,
}

impl Listed {
    /// The lag of the group that is furthest behind.
    pub fn lag(&self) -> Option<i64> {
        self.groups.iter().filter_map(|group| group.lag).max()
    }

    /// The pending entries of all groups.
    pub fn pending(&self) -> i64 {
        self.groups.iter().map(|group| group.pending).sum()
    }

    fn figure(&self, order: Order) -> Option<i64> {
        match order {
            Order::Name => None,
            Order::Entries => self.entries,
            Order::Memory => self.memory_bytes,
            Order::Lag => self.lag(),
            Order::Pending => Some(self.pending()),
        }
    }
}

impl Streams {
    /// Lists some of the streams whose names fit the configuration.
    ///
    /// # Errors
    /// Redis refuses to say which streams there are, or does not answer.
    pub async fn list(&self, config: &Config, which: &Which) -> Result<List, Fault> {
        let (names, is_incomplete) = self.names(config).await?;
        let names: Vec<String> =
            names.into_iter().filter(|name| name.contains(&which.part)).collect();
        let found = names.len();
        let mut list = List { found, is_incomplete, ..List::default() };
        if which.order == Order::Name {
            let some = names.iter().skip(which.skip).take(which.take);
            list.streams = self.figures(some).await?;
            return Ok(list);
        }
        list.is_partly_sorted = found > FIGURES_MAX;
        let mut all = self.figures(names.iter().take(FIGURES_MAX)).await?;
        all.sort_by_key(|one| std::cmp::Reverse(one.figure(which.order)));
        list.streams = all.into_iter().skip(which.skip).take(which.take).collect();
        Ok(list)
    }

    /// The names, sorted, and whether there may be more.
    ///
    /// # Errors
    /// `SCAN` has no answer or is forbidden.
    pub async fn names(&self, config: &Config) -> Result<(Vec<String>, bool), Fault> {
        let (mut names, mut is_incomplete, started) = (BTreeSet::new(), false, Instant::now());
        for outbox in &config.outboxes {
            let limit = SEARCH_LIMIT.saturating_sub(started.elapsed());
            let reach = Reach { streams_max: STREAMS_MAX, limit };
            let tag = outbox.stream.hash_tag().unwrap_or_default();
            let server = self.redis.server_of(tag).await.map_err(failed)?;
            let found = find(&server, &outbox.stream, reach).await;
            let (found, complete) = found.map_err(|failure| self.forbidden(failure, "scan"))?;
            names.extend(found);
            is_incomplete |= !complete;
        }
        Ok((names.into_iter().collect(), is_incomplete))
    }

    async fn figures(&self, names: impl Iterator<Item = &String>) -> Result<Vec<Listed>, Fault> {
        let asked: Vec<_> = names.map(|name| self.glance(name)).collect();
        let asked = futures_util::stream::iter(asked).buffered(TOGETHER);
        let found: Vec<Result<Option<Listed>, Fault>> = asked.collect().await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    /// `None`: there is no such stream.
    async fn glance(&self, name: &str) -> Result<Option<Listed>, Fault> {
        let all = join3(
            self.redis.call("XLEN", Args::from([name])),
            self.redis.call("XINFO", Args::from(["GROUPS", name])),
            self.redis.call("MEMORY", Args::from(["USAGE", name, "SAMPLES", SAMPLES])),
        );
        let (entries, groups, memory) = Box::pin(all).await;
        let mut listed = Listed { stream: name.to_owned(), ..Listed::default() };
        match groups {
            Ok(groups) => listed.groups = groups.items().iter().map(glanced).collect(),
            Err(failure) if is_absent(&failure) => return Ok(None),
            Err(failure) if failure.code().is_none() => return Err(failed(failure)),
            Err(failure) => {
                listed.problems.push(self.forbidden(failure, "xinfo|groups").to_string());
            }
        }
        for (reply, figure, rule) in [
            (entries, &mut listed.entries, "xlen"),
            (memory, &mut listed.memory_bytes, "memory|usage"),
        ] {
            match reply {
                Ok(reply) => *figure = reply.int(),
                Err(failure) => listed.problems.push(self.forbidden(failure, rule).to_string()),
            }
        }
        Ok(Some(listed))
    }
}

fn glanced(group: &Reply) -> ListedGroup {
    let number = |name| field(group, name).and_then(Reply::int);
    ListedGroup {
        group: field(group, "name").and_then(Reply::string).unwrap_or_default(),
        lag: number("lag"),
        pending: number("pending").unwrap_or(0),
        consumers: number("consumers").unwrap_or(0),
    }
}
