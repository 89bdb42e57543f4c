//! Commands reach the master that the sentinels agree on, and nobody else.

use outflow_connect::redis::{Args, Failure, Redis, Reply, Script};
use outflow_local::{RedisSentinel, Signal, eventually};
use secrecy::SecretString;

use crate::support::LIMIT;

fn open(url: &str) -> Redis {
    Redis::open(&SecretString::from(url), "test").expect("an address")
}

async fn start(dir: &tempfile::TempDir, replicas: usize) -> (RedisSentinel, Redis) {
    let servers = RedisSentinel::start(dir.path(), replicas, &[]).await.expect("servers");
    let redis = open(&servers.url());
    redis.ready(LIMIT).await.expect("a connection");
    (servers, redis)
}

async fn port(redis: &Redis) -> Result<String, Failure> {
    let answer = redis.call("CONFIG", Args::from(["GET", "port"])).await?;
    Ok(answer.items()[1].string().expect("a port"))
}

/// Waits until commands reach this server.
async fn reaches(redis: &Redis, server: u16) {
    let server = server.to_string();
    let moved = eventually(LIMIT, "another server", async || {
        port(redis).await.is_ok_and(|port| port == server)
    });
    moved.await.expect("the server");
}

#[tokio::test]
async fn a_master_that_dies_is_replaced_and_comes_back_as_a_replica() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut servers, redis) = start(&dir, 1).await;
    let ports = [servers.server(0).port(), servers.server(1).port()];
    reaches(&redis, ports[0]).await;
    redis.call("SET", Args::from(["seen", "1"])).await.expect("a write");
    redis.call("WAIT", Args::from(["1", "0"])).await.expect("a replica in step");

    servers.server(0).kill().await.expect("its end");
    reaches(&redis, ports[1]).await;
    redis.call("INCR", Args::from(["seen"])).await.expect("it takes writes");
    servers.server(0).start_again().await.expect("a start");
    let back = open(&servers.server(0).url());
    let demoted = eventually(LIMIT, "the old master to follow", async || {
        let role = back.call("ROLE", Args::default()).await.ok()?;
        (role.items()[0].string()? == "slave" && role.items()[3].string()? == "connected")
            .then_some(())
    });
    demoted.await.expect("a replica");
    assert_eq!(port(&redis).await, Ok(ports[1].to_string()));
    let seen = redis.call("GET", Args::from(["seen"])).await.expect("a value");
    assert_eq!(seen.int(), Some(2));
    redis.close().await;
}

#[tokio::test]
async fn a_master_that_is_replaced_while_it_answers_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut servers, redis) = start(&dir, 1).await;
    let old = servers.server(0).url();
    servers.ask(0, &["FAILOVER", "orders"]).await.expect("a fail-over");
    let new = servers.server(1).port();
    reaches(&redis, new).await;
    assert!(open(&old).ready(LIMIT).await.is_ok(), "it still answers");
    redis.close().await;
}

/// It is the first of the address, and names the master of another time: nobody has told it of a
/// fail-over.
#[tokio::test]
async fn a_sentinel_that_was_cut_off_is_not_believed() {
    let (dir, past) =
        (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let (mut servers, past) =
        tokio::join!(start(&dir, 1), RedisSentinel::start(past.path(), 0, &[]));
    let (past, new) = (past.expect("servers"), servers.0.server(1).port());
    servers.0.ask(0, &["FAILOVER", "orders"]).await.expect("a fail-over");
    for sentinel in 0..3 {
        servers.0.agreed(sentinel, 1).await.expect("all agree");
    }
    let (first, others) = (past.url(), servers.0.url());
    let first = first.split('&').next().expect("a sentinel");
    let others = others.replace("redis-sentinel://", "node=").replace("?service_name=orders", "");
    let redis = open(&format!("{first}&{others}"));
    redis.ready(LIMIT).await.expect("a connection");
    assert_eq!(port(&redis).await, Ok(new.to_string()));
    redis.close().await;
    servers.1.close().await;
}

#[tokio::test]
async fn a_sentinel_that_is_frozen_holds_up_nobody() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut servers, redis) = start(&dir, 1).await;
    let new = servers.server(1).port();
    servers.sentinel(0).signal(Signal::SIGSTOP);
    servers.ask(1, &["FAILOVER", "orders"]).await.expect("a fail-over");
    for sentinel in [1, 2] {
        servers.agreed(sentinel, 1).await.expect("the others agree");
    }
    // It is the first of the address, and frozen: the others are asked all the same.
    let another = open(&servers.url());
    another.ready(LIMIT).await.expect("a connection");
    for redis in [&redis, &another] {
        reaches(redis, new).await;
    }
    servers.sentinel(0).signal(Signal::SIGCONT);
    redis.close().await;
    another.close().await;
}

#[tokio::test]
async fn sentinels_may_want_to_know_who_asks() {
    let dir = tempfile::tempdir().expect("a directory");
    let (servers, redis) = start(&dir, 0).await;
    let url = servers.url();
    for place in url.split(['/', '?', '&', '=']).filter(|part| part.starts_with("127.0.0.1:")) {
        let sentinel = open(&format!("redis://{place}"));
        sentinel.ready(LIMIT).await.expect("a connection");
        let rules = [
            // What docs/redis-topologies.md asks for.
            "SETUSER outflow on >p%w -@all +sentinel|master +ping +info +client|id +client|setname",
            "SETUSER default off",
        ];
        for rule in rules {
            sentinel.call("ACL", rule.split_whitespace().collect()).await.expect("a rule");
        }
        sentinel.close().await;
    }
    let known = open(&format!("{url}&sentinel_username=outflow&sentinel_password=p%25w"));
    known.ready(LIMIT).await.expect("a connection");
    assert_eq!(port(&known).await, port(&redis).await);
    let unknown = open(&url);
    let told = eventually(LIMIT, "the reason", async || {
        let failure = unknown.call("PING", Args::default()).await.expect_err("nobody answers");
        failure
            .to_string()
            .contains("give sentinel_username, if there are users, and sentinel_password")
            .then_some(())
    });
    told.await.expect("the reason");
    for redis in [redis, known, unknown] {
        redis.close().await;
    }
}

#[tokio::test]
async fn sentinels_that_cannot_help_say_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut servers, redis) = start(&dir, 0).await;
    let reason = async |url: &str, words: &str| {
        let redis = open(url);
        let told = eventually(LIMIT, words, async || {
            let failure = redis.call("PING", Args::default()).await.expect_err("no master");
            failure.to_string().contains(words).then_some(failure)
        });
        assert!(matches!(told.await.expect("the reason"), Failure::NotSent(_)));
        redis.close().await;
    };
    let url = servers.url();
    reason(
        &url.replace("=orders", "=orders2"),
        "knows no master \"orders2\"; correct service_name",
    )
    .await;
    // To whoever is no sentinel the question makes no sense.
    let server =
        format!("redis-sentinel://127.0.0.1:{}?service_name=orders", servers.server(0).port());
    reason(&server, "is no sentinel but a Redis server").await;
    for sentinel in 0..3 {
        servers.sentinel(sentinel).kill();
    }
    reason(&url, "connection refused").await;
    // Without them the master is where it was.
    assert!(port(&redis).await.is_ok());
    redis.close().await;
}

/// What WAIT says of a connection that has written nothing is no answer.
#[tokio::test]
async fn a_write_counts_when_its_replica_has_it_and_its_connection_stood() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut servers, admin) = start(&dir, 1).await;
    let redis = open(&servers.server(0).url()).waiting_for(1);
    redis.ready(LIMIT).await.expect("a connection");
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    let write = async || redis.script(&script, &["n"], Args::default()).await;
    assert_eq!(write().await, Ok(Reply::Int(1)));
    servers.server(1).signal(Signal::SIGSTOP);
    let cut = async || {
        let waiting = eventually(LIMIT, "it to wait", async || {
            let clients = admin.call("CLIENT", Args::from(["LIST"])).await.ok()?.string()?;
            clients.lines().any(|client| client.contains("cmd=wait")).then_some(())
        });
        waiting.await.expect("a blocked connection");
        admin
            .call("CLIENT", Args::from(["KILL", "TYPE", "NORMAL"]))
            .await
            .expect("all but this one");
    };
    let (written, ()) = tokio::join!(write(), cut());
    assert!(matches!(written, Err(Failure::Unknown(_))), "{written:?}");
    redis.ready(LIMIT).await.expect("a new connection");
    let Err(Failure::Unknown(reason)) = write().await else { panic!("the replica is frozen") };
    assert!(reason.contains("not on 1 replicas after 5s, but on 0"), "{reason}");
    servers.server(1).signal(Signal::SIGCONT);
    let counted = eventually(LIMIT, "the replica", async || write().await.ok());
    assert!(counted.await.expect("an answer").int() > Some(3), "each was carried out once");
    // Under another name it is another connection, as far as anybody can tell.
    redis.call("CLIENT", Args::from(["SETNAME", "another"])).await.expect("a name");
    let Err(Failure::Unknown(reason)) = write().await else {
        panic!("WAIT was asked on another connection")
    };
    assert!(reason.contains("the connection was replaced"), "{reason}");
    assert!(write().await.is_ok(), "named anew");
    redis.close().await;
}
