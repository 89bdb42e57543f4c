//! The last word on Redis: a script that does what an append does, and takes it back.

use super::durability::ROOM;
use super::finding::{Findings, Known, about, advice};
use crate::relay::options::OutboxOptions;
use crate::relay::sink::journal_key;
use outflow_connect::redis::{Args, Redis, Script};
use outflow_core::fault::Fault;

/// What a refusal means, by its code, and what to do.
const REFUSALS: [(&str, &str); 7] = [
    ("OOM", ROOM),
    ("NOREPLICAS", "repair the replicas, or lower min-replicas-to-write"),
    ("READONLY", "change redis.url to the address of the primary"),
    ("MISCONF", "repair the disk of Redis: snapshots fail (INFO persistence)"),
    ("MOVED", "change redis.url to begin with redis-cluster://"),
    ("CLUSTERDOWN", "see CLUSTER INFO"),
    ("BUSY", "a script has been running for long; end it with SCRIPT KILL"),
];

pub(super) async fn check(
    redis: &Redis,
    outbox: &OutboxOptions,
    known: &Known,
    findings: &mut Findings,
) {
    let Some(journal) = &known.journal else { return };
    let about = &about(outbox);
    let tag = outbox.stream.hash_tag().filter(|_| redis.is_cluster());
    let key = journal_key(journal, tag);
    let streams: Vec<&str> =
        known.streams.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let script = Script::new(include_str!("journal.lua"));
    let args: Args = streams.iter().copied().collect();
    let keys: Vec<&str> = if tag.is_some() {
        std::iter::once(key.as_str()).chain(streams.iter().copied()).collect()
    } else {
        vec![&key]
    };
    match redis.script(&script, &keys, args).await {
        Ok(reply) => {
            let kinds = reply.items().iter().map(|kind| kind.string().unwrap_or_default());
            let wrong: Vec<(&str, String)> = streams
                .iter()
                .copied()
                .zip(kinds)
                .filter(|(_, kind)| kind != "stream" && kind != "none")
                .collect();
            for (stream, kind) in &wrong {
                let what = format!(
                    "events wait for the stream {stream}, but that key has the type {kind}, so \
                        Redis refuses them"
                );
                findings.error(
                    about,
                    what,
                    advice(format!("rename that key (RENAME {stream} …), or delete it")),
                );
            }
            if wrong.is_empty() {
                findings.ok(about, "an append works (tried on the journal and undone)");
            }
        }
        Err(failure) => {
            if failure.is_forbidden() {
                // Told with the line that mends it.
                return;
            }
            let remedy = REFUSALS.iter().find(|(code, _)| failure.to_string().contains(code));
            let remedy = remedy.map_or("see the server's log", |(_, remedy)| remedy);
            let fault = Fault::from(failure).at("an append fails");
            findings.wrong(fault.kind(), about, fault.to_string(), advice(remedy));
        }
    }
}
