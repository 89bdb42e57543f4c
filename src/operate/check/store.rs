//! Redis as a server: reachable, new enough, writable, and keeping what it acknowledges.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::finding::{Findings, Known, advice, redis_line};
use super::keeps::Keeps;
use super::kind_of_server;
use super::transport;
use super::unreached::allow;
use super::{acl, durability, journal, replay, replication, trimming, unreached};
use crate::config::Config;
use crate::observe::transport::Route;
use outflow_connect::redis::{self, Args, Redis};
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
    let info = match redis.call("INFO", Args::default()).await {
        Ok(reply) => reply.string().unwrap_or_default(),
        Err(failure) => {
            let what = format!("cannot read version, persistence and eviction: {failure}");
            let remedy = allow(&failure, config.redis.user(), "check them yourself");
            findings.warning(ABOUT, what, remedy);
            return kind_of_server::runs_scripts(redis, findings).await;
        }
    };
    let info: HashMap<&str, &str> =
        info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let value = |name: &str| info.get(name).copied().unwrap_or_default();
    let replicas = value("connected_slaves").parse().unwrap_or(0);
    findings.keeps = Keeps {
        config_file: info.get("config_file").map(|file| !file.is_empty()),
        acl_file: durability::setting(redis, "aclfile").await.map(|file| !file.is_empty()),
        is_one_of_some: replicas > 0 || value("cluster_enabled") == "1",
    };
    kind_of_server::check(&value, findings);
    if [value("redis_mode"), value("server_mode")].contains(&"sentinel") {
        let remedy = "change redis.url to begin with redis-sentinel:// and to name the master: \
                ?service_name=NAME";
        let what = "is a sentinel, which stores no streams";
        findings.wrong(FaultKind::Configuration, ABOUT, what, advice(remedy));
        return false;
    }
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
    durability::append_only_file(&value, findings);
    if value("aof_enabled") == "1" {
        durability::appendfsync(redis, findings).await;
    }
    durability::memory(&value, config.memory, findings);
    if kind_of_server::replays_with_all_rights(&value) {
        findings.ok(ABOUT, "replaying the append-only file needs no rights");
    } else {
        replay::check(redis, ABOUT, &config.redis, value("aof_enabled") == "1", findings).await;
    }
    eviction(&value, findings);
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

fn eviction<'a>(value: &impl Fn(&str) -> &'a str, findings: &mut Findings) {
    let (policy, limit) = (value("maxmemory_policy"), value("maxmemory"));
    let remedy = redis_line("CONFIG SET maxmemory-policy noeviction");
    match (policy, limit) {
        // Neither streams nor journal have a time to live: these policies leave them alone.
        ("noeviction" | "", _) => findings.ok(ABOUT, "Redis evicts nothing"),
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
