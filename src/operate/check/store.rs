//! Redis as a server: reachable, new enough, writable, and keeping what it acknowledges.

use std::collections::BTreeSet;
use std::time::Duration;

use super::finding::{Findings, Known, advice, redis_line};
use super::info::{self, Info};
use super::kind_of_server;
use super::transport;
use super::unreached::allow;
use super::{acl, durability, journal, replay, replication, trimming, unreached};
use crate::config::Config;
use crate::observe::transport::Route;
use outflow_connect::redis::{self, Redis};
use outflow_core::fault::{Fault, FaultKind};

const ABOUT: &str = "redis";
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn check(config: &Config, known: &[Known], findings: &mut Findings) {
    let redis = match Redis::connect(&config.redis, "outflow check") {
        Ok(redis) => redis,
        Err(error) => {
            let fault = Fault::from(error).at("redis.url cannot be used");
            return findings.fault(ABOUT, &fault, "correct it");
        }
    };
    if !is_reached_as_asked(&config.redis, findings).await {
        return;
    }
    if let Err(failure) = redis.ready(CONNECT_LIMIT).await {
        return unreached::tell(&config.redis, &failure, findings).await;
    }
    let tags = config.outboxes.iter().map(|outbox| outbox.stream.hash_tag().unwrap_or_default());
    for tag in tags.collect::<BTreeSet<_>>() {
        match redis.server_of(tag).await {
            Ok(node) => {
                if !server(&node, redis.is_cluster(), config, findings).await {
                    return;
                }
            }
            Err(failure) if failure.to_string().contains("cluster support disabled") => {
                let remedy = advice("change redis.url to begin with redis://");
                return findings.wrong(FaultKind::Configuration, ABOUT, "is not a cluster", remedy);
            }
            Err(failure) => {
                let what = format!("cannot list the nodes of the cluster: {failure}");
                let remedy = allow(&failure, config.redis.user(), "see CLUSTER INFO");
                return findings.wrong(Fault::from(failure).kind(), ABOUT, what, remedy);
            }
        }
    }
    acl::check(&redis, config.redis.user(), &config.outboxes, known, findings).await;
    for (outbox, known) in config.outboxes.iter().zip(known) {
        journal::check(&redis, outbox, known, findings).await;
        trimming::check(&redis, outbox, known, findings).await;
    }
    redis.close().await;
}

async fn is_reached_as_asked(server: &redis::Server, findings: &mut Findings) -> bool {
    let (host, port) = server.host();
    let route = Route {
        about: ABOUT,
        host,
        port,
        tls: server.tls(),
        asks_first: false,
        is_verified: true,
        names: redis::NAMES,
        remedy: "set tls-port in the server, and change redis.url to begin with rediss://",
    };
    transport::check(&route, findings).await
}

/// Checks what `INFO` tells, and whether scripts run: without them nothing else can be asked.
async fn server(
    redis: &Redis,
    expects_cluster: bool,
    config: &Config,
    findings: &mut Findings,
) -> bool {
    let info = Info::of(redis).await;
    let value = |name: &str| info.get(name).unwrap_or_default();
    findings.keeps = info::keeps(redis, &info).await;
    if info.get("redis_version").is_some() {
        kind_of_server::check(&value, findings);
    }
    if [value("redis_mode"), value("server_mode")].contains(&"sentinel") {
        let remedy = "change redis.url to begin with redis-sentinel:// and to name the master: \
                ?service_name=NAME";
        let what = "is a sentinel, which stores no streams";
        findings.wrong(FaultKind::Configuration, ABOUT, what, advice(remedy));
        return false;
    }
    info.tell_unseen(config.redis.user(), findings);
    if value("role") == "slave" {
        let remedy = advice("change redis.url to the address of the primary");
        findings.wrong(FaultKind::ReadOnly, ABOUT, "is a replica and accepts no writes", remedy);
    }
    if value("cluster_enabled") == "1" {
        if expects_cluster {
            findings.ok(ABOUT, "is a cluster; each outbox is in one slot of it");
        } else {
            let remedy = advice("change redis.url to begin with redis-cluster://");
            findings.wrong(FaultKind::Configuration, ABOUT, "is a node of a cluster", remedy);
        }
    }
    let aof = info.get("aof_enabled").map(|enabled| enabled == "1");
    if aof.is_some() {
        durability::append_only_file(&value, findings);
    }
    if aof == Some(true) {
        durability::appendfsync(redis, findings).await;
    }
    durability::memory(&info, config.memory, findings);
    if kind_of_server::replays_with_all_rights(&value) {
        findings.ok(ABOUT, "replaying the append-only file needs no rights");
    } else {
        replay::check(redis, ABOUT, &config.redis, aof == Some(true), findings).await;
    }
    if let Some(policy) = info.get("maxmemory_policy") {
        eviction(policy, value("maxmemory"), findings);
    }
    let replicas = info.get("connected_slaves").and_then(|replicas| replicas.parse().ok());
    replication::check(
        redis,
        ABOUT,
        config.redis.user(),
        (replicas, config.wait_replicas),
        findings,
    )
    .await;
    kind_of_server::runs_scripts(redis, findings).await
}

fn eviction(policy: &str, limit: &str, findings: &mut Findings) {
    let remedy = redis_line("CONFIG SET maxmemory-policy noeviction");
    match (policy, limit) {
        // Neither streams nor journal have a time to live: these policies leave them alone.
        ("noeviction", _) => findings.ok(ABOUT, "Redis evicts nothing"),
        (policy, _) if policy.starts_with("volatile-") => {
            findings.ok(ABOUT, format!("eviction policy {policy} does not evict the streams"));
        }
        (policy, "0") => {
            findings.warning(
                ABOUT,
                format!("eviction policy {policy}, as soon as maxmemory is set"),
                remedy,
            );
        }
        (policy, _) => {
            findings.error(ABOUT, format!("eviction policy {policy} evicts streams"), remedy);
        }
    }
}
