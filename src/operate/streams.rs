//! `outflow stream list` and `show`: what Redis knows of streams, their groups and the consumers of
//! these. Who is behind, and by how much.

mod dead;
mod dead_act;
mod drop_group;
mod entries;
mod field;
mod list;
mod pending;

use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;

use crate::config::Config;
use crate::operate::connect::redis_failed as failed;
use crate::operate::status::streams_of;
use outflow_connect::redis::{Args, Failure, Redis, Reply, Server};
use outflow_core::fault::{Fault, FaultKind};

pub use dead::{Counted, DeadGroup, DeadGroups, Progress, Selection, reason_of};
pub use dead_act::act;
pub use drop_group::{
    ACTIVE, Dropped, Group, UNSEEN, drop_group, group_of, in_use, is_ours, not_dropped, writer,
};
pub use entries::{Look, Page, Seen, Wanted};
pub use field::{Entry, Field};
pub use list::{List, Listed, ListedGroup, Order, Which};
pub use pending::Pending;

/// How long to wait for the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Groups that are asked about at a time.
const TOGETHER: usize = 8;
/// Nodes of a stream that `MEMORY USAGE` looks at.
const SAMPLES: &str = "20";

/// A stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub stream: String,
    /// Its entries.
    pub entries: i64,
    /// Memory that it takes, estimated from a sample; `None` if Redis does not tell.
    pub memory_bytes: Option<i64>,
    /// Age of its first entry, by Redis's clock; `None` if it is empty.
    pub first_entry_age_seconds: Option<f64>,
    /// Age of its last entry.
    pub last_entry_age_seconds: Option<f64>,
    /// Its consumer groups.
    pub groups: Vec<GroupReport>,
    /// What could not be found out, and what to do about it.
    pub problems: Vec<String>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupReport {
    /// Its name.
    pub group: String,
    /// Entries that were not delivered yet. `None`: Redis does not know; before version 7 never.
    pub lag: Option<i64>,
    /// Entries that were delivered and not acknowledged.
    pub pending: i64,
    /// Age of the oldest of these.
    pub oldest_pending_age_seconds: Option<f64>,
    /// Id of the last entry that was delivered.
    pub last_delivered_id: String,
    /// Its consumers.
    pub consumers: Vec<ConsumerReport>,
}

/// A consumer of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConsumerReport {
    /// Its name.
    pub consumer: String,
    /// Entries that it was given and has not acknowledged.
    pub pending: i64,
    /// Since when it has not asked for entries. Before Redis 7.2: since when it got none.
    pub idle_seconds: f64,
    /// Since when it got none. `None`: before Redis 7.2, or it never got any.
    pub inactive_seconds: Option<f64>,
    /// Whether Redis knows when it has asked for entries, and not only when it got some: since
    /// version 7.2.
    pub is_seen_asking: bool,
}

impl GroupReport {
    /// Whether a consumer that waits for entries may look as if it were gone.
    pub fn may_wait_unseen(&self) -> bool {
        self.consumers.iter().any(|consumer| !consumer.is_seen_asking)
    }
}

/// Streams, and names that were not found.
pub struct Streams {
    redis: Redis,
    user: String,
}

impl Streams {
    /// Connects.
    ///
    /// # Errors
    /// `name` says where the address is from.
    pub async fn open(server: &Server, name: &str) -> Result<Self, Fault> {
        let redis = Redis::connect(server, "outflow stream");
        let redis = redis.map_err(|bad| Fault::from(bad).at(name))?;
        redis.ready(CONNECT_LIMIT).await.map_err(failed)?;
        Ok(Self { redis, user: server.user().to_owned() })
    }

    /// Over a connection that stands already. `user`: who is logged in there.
    pub fn over(redis: Redis, user: impl Into<String>) -> Self {
        Self { redis, user: user.into() }
    }

    /// The streams whose names fit a template of the configuration, sorted.
    ///
    /// # Errors
    /// Redis refuses, or does not answer.
    pub async fn known(&self, config: &Config) -> Result<Vec<String>, Fault> {
        let mut names = std::collections::BTreeSet::new();
        for outbox in &config.outboxes {
            let tag = outbox.stream.hash_tag().unwrap_or_default();
            let server = self.redis.server_of(tag).await.map_err(failed)?;
            names.extend(streams_of(&server, &outbox.stream).await.map_err(failed)?);
        }
        Ok(names.into_iter().collect())
    }

    /// Looks at a stream; `None` if there is none.
    ///
    /// # Errors
    /// Redis refuses what is needed at least, or does not answer.
    pub async fn look(&self, stream: &str) -> Result<Option<StreamReport>, Fault> {
        let info = match self.redis.call("XINFO", Args::from(["STREAM", stream])).await {
            Ok(info) => info,
            Err(failure) if is_absent(&failure) => return Ok(None),
            Err(failure) => return Err(self.forbidden(failure, "xinfo|stream")),
        };
        let mut problems = Vec::new();
        let now = self.now_ms(&mut problems).await;
        let of_entry = |name| age(&field(&info, name)?.items().first()?.string()?, now);
        let memory = self.redis.call("MEMORY", Args::from(["USAGE", stream, "SAMPLES", SAMPLES]));
        let memory_bytes = match memory.await {
            Ok(reply) => reply.int(),
            Err(failure) => {
                problems.push(format!("memory: {}", self.forbidden(failure, "memory|usage")));
                None
            }
        };
        let groups = self.redis.call("XINFO", Args::from(["GROUPS", stream])).await;
        let groups = groups.map_err(|failure| self.forbidden(failure, "xinfo|groups"))?;
        let all: Vec<_> =
            groups.items().iter().map(|group| self.group(stream, group, now)).collect();
        let all: Vec<_> = futures_util::stream::iter(all).buffered(TOGETHER).collect().await;
        let (all, of_groups): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        problems.extend(of_groups.into_iter().flatten());
        problems.dedup();
        Ok(Some(StreamReport {
            stream: stream.to_owned(),
            entries: field(&info, "length").and_then(Reply::int).unwrap_or(0),
            memory_bytes,
            first_entry_age_seconds: of_entry("first-entry"),
            last_entry_age_seconds: of_entry("last-entry"),
            groups: all,
            problems,
        }))
    }

    /// One of them, and what could not be found out.
    async fn group(&self, stream: &str, group: &Reply, now: i64) -> (GroupReport, Vec<String>) {
        let mut problems = Vec::new();
        let name = field(group, "name").and_then(Reply::string).unwrap_or_default();
        let number = |name| field(group, name).and_then(Reply::int);
        let pending = number("pending").unwrap_or(0);
        let oldest = match pending {
            0 => None,
            _ => self.oldest_pending(stream, &name, &mut problems).await,
        };
        let report = GroupReport {
            lag: number("lag"),
            pending,
            oldest_pending_age_seconds: oldest.and_then(|id| age(&id, now)),
            last_delivered_id: field(group, "last-delivered-id")
                .and_then(Reply::string)
                .unwrap_or_default(),
            consumers: self.consumers(stream, &name, &mut problems).await,
            group: name,
        };
        (report, problems)
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.redis.close().await;
    }

    /// By Redis's clock, which the ids have; by ours if it may not be asked.
    async fn now_ms(&self, problems: &mut Vec<String>) -> i64 {
        match self.redis.call("TIME", Args::default()).await {
            Ok(reply) => {
                let part = |index: usize| reply.items().get(index).and_then(Reply::int);
                part(0).unwrap_or(0) * 1_000 + part(1).unwrap_or(0) / 1_000
            }
            Err(failure) => {
                let why = self.forbidden(failure, "time");
                problems.push(format!("ages are by the clock of this machine: {why}"));
                Timestamp::now().as_millisecond()
            }
        }
    }

    async fn oldest_pending(
        &self,
        stream: &str,
        group: &str,
        problems: &mut Vec<String>,
    ) -> Option<String> {
        match self.redis.call("XPENDING", Args::from([stream, group])).await {
            Ok(reply) => reply.items().get(1).and_then(Reply::string),
            Err(failure) => {
                problems.push(format!("pending: {}", self.forbidden(failure, "xpending")));
                None
            }
        }
    }

    async fn consumers(
        &self,
        stream: &str,
        group: &str,
        problems: &mut Vec<String>,
    ) -> Vec<ConsumerReport> {
        match self.redis.call("XINFO", Args::from(["CONSUMERS", stream, group])).await {
            Ok(reply) => reply.items().iter().filter_map(consumer).collect(),
            Err(failure) => {
                let why = self.forbidden(failure, "xinfo|consumers");
                problems.push(format!("consumers: {why}"));
                Vec::new()
            }
        }
    }

    /// With the line that allows it, if it is a matter of that.
    fn forbidden(&self, failure: Failure, rule: &str) -> Fault {
        let is_forbidden = failure.code() == Some("NOPERM");
        let fault = failed(failure);
        if !is_forbidden {
            return fault;
        }
        let line = format!("run in redis-cli: ACL SETUSER {} +{rule}", self.user);
        fault.of_kind(FaultKind::Failed).remedy(line)
    }
}

fn consumer(reply: &Reply) -> Option<ConsumerReport> {
    let inactive = field(reply, "inactive").and_then(Reply::int);
    Some(ConsumerReport {
        consumer: field(reply, "name")?.string()?,
        pending: field(reply, "pending")?.int()?,
        idle_seconds: seconds(field(reply, "idle")?.int()?),
        // -1: it never got any.
        inactive_seconds: inactive.filter(|ms| *ms >= 0).map(seconds),
        is_seen_asking: inactive.is_some(),
    })
}

/// A field of what XINFO answers.
fn field<'a>(reply: &'a Reply, name: &str) -> Option<&'a Reply> {
    let mut pairs = reply.items().chunks_exact(2);
    let pair = pairs.find(|pair| pair[0].text().is_some_and(|field| field == name.as_bytes()))?;
    Some(&pair[1])
}

/// Since an entry was appended, by its id.
fn age(id: &str, now: i64) -> Option<f64> {
    Some(seconds(now - id.split_once('-')?.0.parse::<i64>().ok()?))
}

fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of some years")]
    let seconds = ms.max(0) as f64 / 1_000.0;
    seconds
}

/// There is no such key.
fn is_absent(failure: &Failure) -> bool {
    failure.code() == Some("ERR") && failure.to_string().contains("no such key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_consumer_was_seen_asking_depends_on_redis() {
        let text = |text: &str| Reply::Text(text.to_owned().into());
        let of = |more: &[(&str, i64)]| {
            let known = [text("name"), text("one"), text("pending"), Reply::Int(3)];
            let more = more.iter().flat_map(|(name, ms)| [text(name), Reply::Int(*ms)]);
            consumer(&Reply::List(known.into_iter().chain(more).collect())).expect("a consumer")
        };
        let old = of(&[("idle", 5_000)]);
        assert_eq!(
            (old.idle_seconds, old.inactive_seconds, old.is_seen_asking),
            (5.0, None, false)
        );
        let new = of(&[("idle", 1_000), ("inactive", 9_000)]);
        assert_eq!(
            (new.idle_seconds, new.inactive_seconds, new.is_seen_asking),
            (1.0, Some(9.0), true)
        );
        let waits = of(&[("idle", 1_000), ("inactive", -1)]);
        assert_eq!((waits.inactive_seconds, waits.is_seen_asking), (None, true));
        let group = |consumers: Vec<ConsumerReport>| GroupReport {
            group: "g".to_owned(),
            lag: None,
            pending: 0,
            oldest_pending_age_seconds: None,
            last_delivered_id: "0-0".to_owned(),
            consumers,
        };
        assert!(!group(vec![]).may_wait_unseen() && !group(vec![new]).may_wait_unseen());
        assert!(group(vec![old]).may_wait_unseen());
    }
}
