//! What Redis knows of the streams: those whose names fit the template, their lengths, their
//! consumer groups.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::report::{Group, OutboxStatus, Stream};
use crate::relay::route::Template;
use outflow_connect::redis::{Args, Failure, Redis, Reply};

/// Streams that are shown.
const STREAMS_MAX: usize = 100;
/// How long to look for streams: a Redis may have a hundred million other keys.
const SCAN_LIMIT: Duration = Duration::from_secs(2);
/// Keys that one step looks at: less than a millisecond of Redis's time.
const SCAN_STEP: &str = "1000";

/// How far to look for streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Streams that are enough.
    pub streams_max: usize,
    /// How long to look for them.
    pub limit: Duration,
}

/// Of a status.
pub(super) const REACH: Reach = Reach { streams_max: STREAMS_MAX, limit: SCAN_LIMIT };

/// Fills in the streams of one outbox.
pub(super) async fn ask(redis: &Redis, template: &Template, status: &mut OutboxStatus) {
    let names = match find(redis, template, REACH).await {
        Ok((names, complete)) => {
            status.streams_are_incomplete = !complete;
            names
        }
        Err(failure) => {
            status.problems.push(format!("streams: SCAN: {failure}"));
            return;
        }
    };
    // What Redis says of one command, it says of each stream: it is told once.
    let mut withheld = BTreeSet::new();
    for name in names {
        match look(redis, &name, &mut withheld).await {
            Ok(Some(stream)) => status.streams.push(stream),
            Ok(None) => {}
            Err(failure) => status.problems.push(format!("stream {name}: {failure}")),
        }
    }
    status.problems.extend(withheld.into_iter().map(|words| format!("streams: {words}")));
}

/// The names that fit, sorted, and whether these are all.
pub async fn find(
    redis: &Redis,
    template: &Template,
    reach: Reach,
) -> Result<(Vec<String>, bool), Failure> {
    let Reach { streams_max, limit } = reach;
    if template.columns().next().is_none() {
        return Ok((template.render(&[]).into_iter().collect(), true));
    }
    let (glob, started) = (template.glob(), Instant::now());
    let mut names = BTreeSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let args = Args::from([&cursor, "MATCH", &glob, "COUNT", SCAN_STEP, "TYPE", "stream"]);
        let reply = redis.call("SCAN", args).await?;
        let [next, keys] = reply.items() else { break };
        names.extend(keys.items().iter().filter_map(Reply::string));
        cursor = next.string().unwrap_or_else(|| "0".to_owned());
        if cursor == "0" || names.len() > streams_max || started.elapsed() > limit {
            break;
        }
    }
    let complete = cursor == "0" && names.len() <= streams_max;
    Ok((names.into_iter().take(streams_max).collect(), complete))
}

/// A stream; `None` if it is not there. Without its groups if Redis withholds them: why is in
/// `withheld`.
async fn look(
    redis: &Redis,
    name: &str,
    withheld: &mut BTreeSet<String>,
) -> Result<Option<Stream>, Failure> {
    let length = redis.call("XLEN", Args::from([name])).await?.int().unwrap_or(0);
    let groups = match redis.call("XINFO", Args::from(["GROUPS", name])).await {
        Ok(reply) => reply.items().iter().map(group).collect(),
        Err(failure) if failure.is_withheld() => {
            withheld.insert(format!("XINFO GROUPS: {failure}"));
            Vec::new()
        }
        // There is no such key.
        Err(failure) if failure.code() == Some("ERR") => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(Some(Stream { name: name.to_owned(), length, groups }))
}

fn group(reply: &Reply) -> Group {
    let value = |name: &str| {
        let mut pairs = reply.items().chunks_exact(2);
        pairs
            .find(|pair| pair[0].text().is_some_and(|field| field == name.as_bytes()))
            .map(|pair| &pair[1])
    };
    let number = |name: &str| value(name).and_then(Reply::int);
    Group {
        name: value("name").and_then(Reply::string).unwrap_or_default(),
        consumers: number("consumers").unwrap_or(0),
        pending: number("pending").unwrap_or(0),
        lag: number("lag"),
    }
}
