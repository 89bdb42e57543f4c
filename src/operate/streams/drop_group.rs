//! Dropping a consumer group that nobody uses any more: it holds entries in a stream that is
//! trimmed by what was read, and what it has pending is never handled.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio_postgres::Client;

use super::{GroupReport, StreamReport, Streams, failed};
use crate::config::Config;
use crate::operate::audit::{Who, record};
use crate::operate::connect::untraced;
use outflow_connect::redis::{Args, Failure, Reply, Script};
use outflow_core::fault::{Fault, FaultKind};

/// A consumer that asked for entries within this time is active.
pub const ACTIVE: Duration = Duration::from_mins(5);

const ACTION: &str = "drop group";
/// What is said of a group whose consumers may be there.
pub const UNSEEN: &str = "This Redis is older than 7.2: it knows when a consumer last got entries, \
    and not when it last asked. One that waits for entries counts as gone after a while. Make sure \
    that no consumer of the group runs.";

/// A group, and what would go with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The stream.
    pub stream: String,
    /// The group.
    #[serde(flatten)]
    pub report: GroupReport,
    /// Names of consumers that are active: it cannot be dropped.
    pub active: Vec<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dropped {
    /// It is gone, and with it so many pending entries.
    Yes(i64),
    /// There is no such group any more.
    Gone,
    /// This consumer has come back.
    Active(String),
    /// It has read since it was looked at, and has so many pending entries now.
    Changed(i64),
}

/// The group as it is now.
///
/// # Errors
/// There is no such group, or Redis refuses or does not answer.
pub async fn group_of(
    streams: &Streams,
    stream: &str,
    group: &str,
    active: Duration,
) -> Result<Group, Fault> {
    let report = streams.look(stream).await?;
    let found = report.as_ref().and_then(|report| named(report, group));
    let Some(found) = found else {
        let there = report.map(|report| {
            let names: Vec<String> = report.groups.iter().map(|one| one.group.clone()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        });
        let what = match there {
            Some(there) => {
                format!("stream {stream} has no group {group:?}; its groups are: {there}")
            }
            None => format!("there is no stream {stream:?}"),
        };
        return Err(Fault::failed(what));
    };
    let is_active = |seconds: f64| seconds < active.as_secs_f64();
    let active = found.consumers.iter().filter(|one| is_active(one.idle_seconds));
    Ok(Group {
        stream: stream.to_owned(),
        active: active.map(|one| one.consumer.clone()).collect(),
        report: found.clone(),
    })
}

/// Drops a group that is still as it was looked at. `outbox`: who writes the stream, for the audit.
///
/// # Errors
/// A consumer is active, Redis refuses or does not answer, or Postgres does not take the row of the
/// audit, which is written first.
pub async fn drop_group(
    streams: &Streams,
    client: &Client,
    who: &Who,
    outbox: &str,
    group: &Group,
    active: Duration,
) -> Result<Dropped, Fault> {
    if let Some(consumer) = group.active.first() {
        return Err(in_use(group, consumer));
    }
    let Group { stream, report, .. } = group;
    let GroupReport { group: name, pending, lag, last_delivered_id, consumers, .. } = report;
    let filter = json!({
        "stream": stream, "group": name, "pending": pending, "lag": lag,
        "last_delivered_id": last_delivered_id, "consumers": consumers.len(),
    });
    record(client, who, ACTION, outbox, 0, &filter).await.map_err(untraced)?;
    let limit = i64::try_from(active.as_millis()).unwrap_or(i64::MAX);
    let mut args = Args::from([name.as_str()]);
    args.int(limit).int(*pending).text(last_delivered_id);
    let script = Script::new(include_str!("drop_group.lua"));
    let reply = streams.redis.script(&script, &[stream], args).await;
    let outcome = reply.map(|reply| became(&reply)).map_err(|failure| refused(streams, failure));
    // It is in the audit that it was to be done.
    let (end, filter) = match &outcome {
        Ok(Dropped::Yes(pending)) => {
            (" done", json!({ "stream": stream, "group": name, "pending": pending }))
        }
        Ok(not) => (": not done", json!({ "stream": stream, "group": name, "why": not })),
        // Perhaps it was done all the same, and the answer was lost.
        Err(fault) => {
            (": not done", json!({ "stream": stream, "group": name, "why": fault.what() }))
        }
    };
    if let Err(error) = record(client, who, &format!("{ACTION}{end}"), outbox, 0, &filter).await {
        tracing::warn!(reason = %untraced(error), "the end of it is not in outflow.audit");
    }
    outcome
}

fn became(reply: &Reply) -> Dropped {
    let word = reply.items().first().and_then(Reply::string).unwrap_or_default();
    let number = || reply.items().get(1).and_then(Reply::int).unwrap_or(0);
    match word.as_str() {
        "dropped" => Dropped::Yes(number()),
        "active" => {
            let consumer = reply.items().get(1).and_then(Reply::string);
            Dropped::Active(consumer.unwrap_or_default())
        }
        "changed" => Dropped::Changed(number()),
        _ => Dropped::Gone,
    }
}

/// Why a group cannot be dropped.
pub fn in_use(group: &Group, consumer: &str) -> Fault {
    let Group { stream, report, .. } = group;
    let what = format!("group {} of {stream} is in use, by {consumer:?}", report.group);
    Fault::failed(what).remedy("stop its consumers first, and wait until they count as gone")
}

/// Why it was not dropped after all.
pub fn not_dropped(group: &Group, outcome: &Dropped) -> Fault {
    let name = &group.report.group;
    match outcome {
        Dropped::Active(consumer) => in_use(group, consumer),
        Dropped::Changed(pending) => {
            let what = format!("group {name} was used meanwhile: it has {pending} pending entries");
            Fault::failed(what).remedy("look at it again")
        }
        Dropped::Gone | Dropped::Yes(_) => {
            Fault::failed(format!("group {name} is gone: somebody else dropped it"))
        }
    }
}

/// The outbox that writes a stream, for the audit; empty if none does.
pub fn writer<'a>(config: &'a Config, stream: &str) -> &'a str {
    let mut outboxes = config.outboxes.iter();
    outboxes.find(|outbox| outbox.stream.fits(stream)).map_or("", |outbox| outbox.name.as_str())
}

/// Whether an outbox writes this stream. What other applications keep in the same Redis is not the
/// console's to change.
///
/// # Errors
/// None does.
pub fn is_ours(config: &Config, stream: &str) -> Result<(), Fault> {
    if config.outboxes.iter().any(|outbox| outbox.stream.fits(stream)) {
        return Ok(());
    }
    let what = format!("nothing was done: no outbox writes the stream {stream:?}");
    Err(Fault::configuration(what).remedy("the command line acts on any stream"))
}

fn named<'a>(report: &'a StreamReport, group: &str) -> Option<&'a GroupReport> {
    report.groups.iter().find(|one| one.group == group)
}

fn refused(streams: &Streams, failure: Failure) -> Fault {
    if !failure.is_forbidden() {
        return failed(failure);
    }
    let user = &streams.user;
    failed(failure).of_kind(FaultKind::Failed).remedy(format!(
        "run in redis-cli: ACL SETUSER {user} +evalsha +eval +exists +xinfo|groups \
         +xinfo|consumers +xgroup|destroy"
    ))
}
