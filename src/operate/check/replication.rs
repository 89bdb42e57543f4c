//! Whether a fail-over of Redis may lose what it acknowledged.

use super::finding::{Findings, advice, redis_line};
use crate::relay::sink::needs;
use outflow_connect::redis::{Args, Redis};
use outflow_core::fault::FaultKind;

/// The rules that allow [`needs::OF_REPLICAS`].
const RULES: [&str; needs::OF_REPLICAS.len()] = ["+wait", "+client|getname"];

/// `replicas` are connected to this server, if it tells; so many must have an event before its row
/// is settled.
pub(super) async fn check(
    redis: &Redis,
    about: &str,
    user: &str,
    (replicas, wait_replicas): (Option<usize>, usize),
    findings: &mut Findings,
) {
    if wait_replicas == 0 {
        if replicas.is_some_and(|replicas| replicas > 0) {
            let remedy = advice("set redis.wait_replicas to 1 or more");
            findings.warning(
                about,
                "a fail-over may lose the entries that Redis acknowledged \
                last",
                remedy,
            );
        }
        return;
    }
    if let Err(failure) = needs::waits_for_replicas(redis).await {
        return findings.error(about, needs::waitless(&failure), advice(needs::REPLICAS));
    }
    if let Some(replicas) = replicas.filter(|replicas| wait_replicas > *replicas) {
        let what = format!(
            "redis.wait_replicas is {wait_replicas}, but the number of connected replicas is \
                {replicas}; the relay delivers nothing"
        );
        let remedy = advice("repair the replicas, or lower redis.wait_replicas");
        findings.wrong(FaultKind::Unavailable, about, what, remedy);
    } else if let Some(replicas) = replicas {
        findings.ok(
            about,
            format!("replicas connected: {replicas}; an event must be on {wait_replicas} of them"),
        );
    }
    let mut missing = Vec::new();
    for ((command, words), rule) in needs::OF_REPLICAS.into_iter().zip(RULES) {
        let args: Args = words.iter().copied().collect();
        if redis.call(command, args).await.is_err_and(|failure| failure.code() == Some("NOPERM")) {
            missing.push(rule);
        }
    }
    if !missing.is_empty() {
        let line = redis_line(format!("ACL SETUSER {user} {}", missing.join(" ")));
        let what = format!("user {user} lacks permissions for redis.wait_replicas");
        findings.refused(about, what, line);
    }
}
