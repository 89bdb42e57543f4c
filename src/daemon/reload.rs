//! From one configuration to another: which relays stop, which start, and whether that can go well.

use std::time::Duration;

use super::outbox::looked_up;
use crate::config::Config;
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::servers::Servers;
use crate::relay::sink::{journal_key, needs};
use outflow_connect::postgres::connect;
use outflow_connect::redis::{Args, Redis};

/// Whether connections are made in another way: other addresses, passwords or certificates, or
/// something else is waited for on them.
fn reconnects(old: &Config, new: &Config) -> bool {
    let same_control = match (&old.control, &new.control) {
        (Some(old), Some(new)) => old.connects_like(new),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    !old.postgres.connects_like(&new.postgres)
        || !same_control
        || !old.redis.connects_like(&new.redis)
        || old.wait_replicas != new.wait_replicas
}

/// Relays to stop, by name, and relays to start. One that changes is both.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) stopped: Vec<String>,
    pub(super) started: Vec<OutboxOptions>,
}

impl Exchange {
    /// All of them, if the servers are reached in another way.
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        let reconnect = reconnects(old, new);
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
        ("console.listen", old.console.listen != new.console.listen),
        ("console.sslcert", old.console.certificate != new.console.certificate),
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
    if !config.redis.has_address_of(&old.redis) {
        redis_answers(config).await.map_err(|failure| format!("redis.url: {failure}"))?;
    }
    let name = "outflow reload";
    let work = config.postgres.named_by_default(name);
    let control = config.control.as_ref().map(|control| control.named_by_default(name));
    let servers = Servers { work: &work, control: control.as_ref() };
    let server = servers.direct();
    let client = match connect(server).await {
        Ok(client) => client,
        Err(fault) if !fault.kind().may_pass() => return Err(fault.to_string()),
        Err(fault) if !server.has_address_of(old.servers().direct()) => {
            return Err(fault.at(server.key()).to_string());
        }
        Err(_away) => return Ok(()),
    };
    for outbox in &exchange.started {
        match looked_up(servers, &client, outbox).await {
            Err(fault) if !fault.kind().may_pass() => return Err(fault.to_string()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether Redis lets us in and reads a journal for us.
async fn redis_answers(config: &Config) -> Result<(), String> {
    let redis =
        Redis::connect(&config.redis, "outflow reload").map_err(|error| error.to_string())?;
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
    let outcome = match outcome {
        Ok(()) => {
            let met = needs::are_met(&redis, tag.unwrap_or_default(), config.wait_replicas).await;
            met.map_err(|fault| fault.to_string())
        }
        Err(failure) => Err(failure.to_string()),
    };
    redis.close().await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};
    use outflow_connect::{postgres, redis};

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
    fn connections_are_made_anew_if_they_are_made_in_another_way() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = config(&[("a", 1)]);
        let redis = redis::server(&"redis://elsewhere".into()).expect("an address");
        let address = Config { redis, ..base.clone() };
        let replicas = Config { wait_replicas: 1, ..base.clone() };
        assert!(!reconnects(&base, &base.clone()));
        for other in [address, replicas] {
            assert!(reconnects(&base, &other));
        }
        // A certificate is renewed under its old name.
        let file = dir.path().join("authority.pem");
        let with_authority = |renewed: bool| {
            if renewed {
                let own = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("a pair");
                std::fs::write(&file, own.cert.pem()).expect("a file");
            }
            let url =
                format!("postgres://u@h/d?sslmode=verify-full&sslrootcert={}", file.display());
            let postgres = postgres::server(&url.into(), "test").expect("an address");
            Config { postgres, ..base.clone() }
        };
        let (old, same, new) = (with_authority(true), with_authority(false), with_authority(true));
        assert!(!reconnects(&old, &same) && reconnects(&old, &new));
        assert!(old.postgres.has_address_of(&new.postgres));
    }

    #[test]
    fn only_what_differs_is_exchanged() {
        let check = |old: &Config, new: &Config, stopped: &[&str], started: &[&str]| {
            let exchange = Exchange::between(old, new);
            let names: Vec<&str> =
                exchange.started.iter().map(|outbox| outbox.name.as_str()).collect();
            assert_eq!(
                (exchange.stopped, names),
                (stopped.iter().map(ToString::to_string).collect(), started.to_vec())
            );
        };
        let a = config(&[("a", 1)]);
        let a_and_b = config(&[("a", 1), ("b", 1)]);
        check(&a, &a, &[], &[]);
        check(&a_and_b, &config(&[("b", 1), ("a", 1)]), &[], &[]);
        check(&a, &a_and_b, &[], &["b"]);
        check(&a_and_b, &a, &["b"], &[]);
        check(&a_and_b, &config(&[("a", 2), ("b", 1)]), &["a"], &["a"]);
        let reached_otherwise = Config { wait_replicas: 1, ..a_and_b.clone() };
        check(&a_and_b, &reached_otherwise, &["a", "b"], &["a", "b"]);
    }
}
