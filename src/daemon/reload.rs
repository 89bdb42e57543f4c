//! From one configuration to another: which relays stop, which start, and whether that can go well.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};

use super::outbox::looked_up;
use crate::config::Config;
use crate::relay::options::OutboxOptions;
use crate::relay::sink::journal_key;
use outflow_connect::postgres::{self, connect};
use outflow_connect::redis::{self, Args, Redis};

/// What connections are made of: addresses, the certificates that they name, and what is waited for
/// on them.
#[derive(PartialEq, Eq)]
pub(super) struct Connections {
    addresses: [String; 2],
    wait_replicas: usize,
    /// Files and what they hold: a certificate is renewed under its old name.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl Connections {
    pub(super) fn of(config: &Config) -> Self {
        let files =
            postgres::files(&config.postgres).into_iter().chain(redis::files(&config.redis));
        Self {
            addresses: [&config.postgres, &config.redis].map(|url| url.expose_secret().to_owned()),
            wait_replicas: config.wait_replicas,
            files: files.map(|file| (file.clone(), std::fs::read(file).ok())).collect(),
        }
    }
}

/// Relays to stop, by name, and relays to start. One that changes is both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) stopped: Vec<String>,
    pub(super) started: Vec<OutboxOptions>,
}

impl Exchange {
    /// `reconnect`: all of them, for the servers are reached in another way.
    pub(super) fn between(old: &Config, new: &Config, reconnect: bool) -> Self {
        let stays = |outbox: &OutboxOptions| {
            !reconnect && old.outboxes.contains(outbox) && new.outboxes.contains(outbox)
        };
        let names =
            old.outboxes.iter().filter(|outbox| !stays(outbox)).map(|outbox| outbox.name.clone());
        Self {
            stopped: names.collect(),
            started: new.outboxes.iter().filter(|outbox| !stays(outbox)).cloned().collect(),
        }
    }
}

/// Keys that differ and cannot be changed while the daemon runs.
pub(super) fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [
        ("admin.listen", old.admin_listen != new.admin_listen),
        ("log.format", old.log_format != new.log_format),
        ("tracing.endpoint", old.tracing_endpoint != new.tracing_endpoint),
    ];
    changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}

/// How long another Redis may take to answer.
const REDIS_LIMIT: Duration = Duration::from_secs(5);

/// Looks whether the relays that are to start could: as at a start, a table, column or privilege
/// that is missing, a password or a certificate that is refused. The server that is used already
/// may be away: it is waited for. Another one must answer, for the old address may be better.
pub(super) async fn try_out(
    old: &Config,
    config: &Config,
    exchange: &Exchange,
) -> Result<(), String> {
    if exchange.started.is_empty() {
        return Ok(());
    }
    let is_other =
        |of: fn(&Config) -> &SecretString| of(old).expose_secret() != of(config).expose_secret();
    if is_other(|config| &config.redis) {
        redis_answers(config).await.map_err(|failure| format!("redis.url: {failure}"))?;
    }
    let server = postgres::server(&config.postgres, "outflow reload")
        .map_err(|error| format!("postgres.url: {error}"))?;
    let client = match connect(&server).await {
        Ok(client) => client,
        Err(fault) if !fault.kind().may_pass() => return Err(fault.to_string()),
        Err(fault) if is_other(|config| &config.postgres) => {
            return Err(fault.at("postgres.url").to_string());
        }
        Err(_away) => return Ok(()),
    };
    for outbox in &exchange.started {
        match looked_up(&server, &client, outbox).await {
            Err(fault) if !fault.kind().may_pass() => return Err(fault.to_string()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether Redis lets us in and reads a journal for us.
async fn redis_answers(config: &Config) -> Result<(), String> {
    let redis = Redis::open(&config.redis, "outflow reload").map_err(|error| error.to_string())?;
    let tags = config
        .outboxes
        .iter()
        .map(|outbox| outbox.stream.hash_tag().filter(|_| redis.is_cluster()));
    let tag = tags.flatten().next();
    let journal = journal_key("reload", tag);
    let outcome = match redis.ready(REDIS_LIMIT).await {
        Ok(()) => redis.call("HGET", Args::from([journal.as_str(), "generation"])).await.map(drop),
        Err(failure) => Err(failure),
    };
    redis.close().await;
    outcome.map_err(|failure| failure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};

    fn config(outboxes: &[(&str, usize)]) -> Config {
        let mut config = load(&Source::default()).expect("the defaults");
        let first = config.outboxes.remove(0);
        config.outboxes = outboxes
            .iter()
            .map(|(name, batch_rows)| OutboxOptions {
                name: (*name).to_owned(),
                batch_rows: *batch_rows,
                table: name.parse().expect("a table"),
                ..first.clone()
            })
            .collect();
        config
    }

    #[test]
    fn connections_are_made_anew_for_another_address_or_another_number_of_replicas() {
        let base = config(&[("a", 1)]);
        let address = Config { redis: "redis://elsewhere".into(), ..base.clone() };
        let replicas = Config { wait_replicas: 1, ..base.clone() };
        assert!(Connections::of(&base) == Connections::of(&base.clone()));
        for other in [address, replicas] {
            assert!(Connections::of(&base) != Connections::of(&other));
        }
    }

    #[test]
    fn only_what_differs_is_exchanged() {
        let check = |old: &[(&str, usize)],
                     new: &[(&str, usize)],
                     reconnect,
                     stopped: &[&str],
                     started: &[&str]| {
            let exchange = Exchange::between(&config(old), &config(new), reconnect);
            let names: Vec<&str> =
                exchange.started.iter().map(|outbox| outbox.name.as_str()).collect();
            assert_eq!(
                (exchange.stopped, names),
                (stopped.iter().map(ToString::to_string).collect(), started.to_vec())
            );
        };
        check(&[("a", 1)], &[("a", 1)], false, &[], &[]);
        check(&[("a", 1), ("b", 1)], &[("b", 1), ("a", 1)], false, &[], &[]);
        check(&[("a", 1)], &[("a", 1), ("b", 1)], false, &[], &["b"]);
        check(&[("a", 1), ("b", 1)], &[("a", 1)], false, &["b"], &[]);
        check(&[("a", 1), ("b", 1)], &[("a", 2), ("b", 1)], false, &["a"], &["a"]);
        check(&[("a", 1), ("b", 1)], &[("a", 1), ("b", 1)], true, &["a", "b"], &["a", "b"]);
    }
}
