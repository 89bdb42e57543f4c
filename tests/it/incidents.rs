//! A server that is broken, in whatever way, while the relay runs: what it says is for people, and
//! is said once an incident.

use futures_util::future::join_all;
use outflow_local::{Program, eventually, free_port};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::reached::{FOR_PROGRAMMERS, http};
use crate::support::{LIMIT, Numbered, Stage, outbox};

/// Reasons that one broken server may be told by: some change after the first attempt.
const LINES_MAX: usize = 3;

/// Takes connections, and closes them or says nothing.
async fn closing(closes: bool) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((client, _)) = listener.accept().await {
            if !closes {
                kept.push(client);
            }
        }
    });
    port
}

/// Answers each connection with these bytes.
async fn saying(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let _ = client.write_all(bytes).await;
                }
            });
        }
    });
    port
}

fn readable(text: &str, of: &str) {
    for words in FOR_PROGRAMMERS {
        assert!(!text.contains(words), "{of}: {words:?} in {text}");
    }
}

fn complaints(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
}

/// Runs a relay until it has tried for some seconds or given up. Returns its log and what its probe
/// said.
async fn tried(stage: &Stage, of: &str, envs: &[(&str, &str)]) -> (String, String) {
    let port = free_port().expect("a port");
    let listen = format!("127.0.0.1:{port}");
    let envs: Vec<(&str, &str)> = envs
        .iter()
        .copied()
        .chain([("OUTFLOW_ADMIN__LISTEN", listen.as_str()), ("OUTFLOW_LOG__LEVEL", "info")])
        .collect();
    let mut relay: Program = stage.outflow_with(of, &["run"], &envs);
    let tries = eventually(LIMIT, "some attempts", async || {
        if relay.exit_status().is_some() {
            return Some(String::new());
        }
        let status = reqwest::get(format!("http://{listen}/status"))
            .await
            .ok()?
            .json::<Value>()
            .await
            .ok()?;
        // A server that says nothing is waited for first.
        if complaints(&relay.log()).is_empty() {
            return None;
        }
        let seconds = status["outboxes"][0]["problem_seconds"].as_u64()?;
        let ready = reqwest::get(format!("http://{listen}/readyz?verbose"))
            .await
            .ok()?
            .text()
            .await
            .ok()?;
        (seconds >= 3).then(|| format!("{status}\n{ready}"))
    });
    let said = tries.await.unwrap_or_else(|error| panic!("{of}: {error}: {}", relay.log_tail()));
    relay.kill();
    (relay.log(), said)
}

#[tokio::test]
async fn a_broken_redis_is_a_few_readable_lines() {
    let stage = Stage::new(&outbox("")).await;
    Numbered { rows: 3, keys: 3 }.insert(&stage).await;
    let (redis, postgres) = (stage.redis.port(), stage.postgres.port());
    let ports = [
        free_port().expect("a port"),
        http().await,
        postgres,
        closing(true).await,
        closing(false).await,
        saying(b"-LOADING Redis is loading the dataset in memory\r\n").await,
        saying(b"\x15\x03\x01\x00\x02\x02\x16").await,
        saying(b"$3\r\nabc\r\n").await,
    ];
    let plain = ports.iter().map(|port| format!("redis://127.0.0.1:{port}"));
    let tls = ports.iter().take(4).chain([&redis]).map(|port| format!("rediss://127.0.0.1:{port}"));
    let users =
        [format!("redis://nobody:x@127.0.0.1:{redis}"), format!("redis://127.0.0.1:{redis}/99")];
    let urls: Vec<String> = plain.chain(tls).chain(users).collect();
    // A database each: their relays know nothing of each other.
    for at in 0..urls.len() {
        stage.sql(&format!("create database b{at}")).await;
    }
    let all = urls.iter().enumerate().map(async |(at, url)| {
        let database = format!("{}b{at}", stage.postgres.url().trim_end_matches("postgres"));
        let envs =
            [("OUTFLOW_POSTGRES__URL", database.as_str()), ("OUTFLOW_REDIS__URL", url.as_str())];
        let migrated = stage.asked_with(&["migrate"], &envs).await;
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        let (log, said) = tried(&stage, &format!("relay-{at}"), &envs).await;
        readable(&log, url);
        readable(&said, url);
        let told = complaints(&log);
        assert!((1..=LINES_MAX).contains(&told.len()), "{url}: {told:?}");
        for args in [&["status"][..], &["status", "--json"], &["check"]] {
            let asked = stage.asked_with(args, &envs).await;
            readable(&format!("{}{}", asked.stdout, asked.stderr), &format!("{args:?} with {url}"));
            assert!(asked.code != Some(0) || args[0] == "status", "{args:?} with {url}: {asked:?}");
        }
    });
    join_all(all).await;
}

#[tokio::test]
async fn a_broken_postgres_is_a_few_readable_lines() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("create role few login connection limit 0").await;
    let (redis, postgres) = (stage.redis.port(), stage.postgres.port());
    let at = |port: u16, more: &str| format!("postgres://postgres@127.0.0.1:{port}/postgres{more}");
    let urls = [
        at(free_port().expect("a port"), ""),
        at(http().await, ""),
        at(redis, ""),
        at(closing(true).await, ""),
        at(saying(b"N").await, ""),
        at(saying(b"E\0\0\0\x0bSFATAL\0\0").await, ""),
        at(saying(b"S").await, "?sslmode=require"),
        at(postgres, "?sslmode=require"),
        format!("postgres://few@127.0.0.1:{postgres}/postgres"),
        format!("postgres://nobody@127.0.0.1:{postgres}/postgres"),
    ];
    let all = urls.iter().enumerate().map(async |(at, url)| {
        let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
        let (log, said) = tried(&stage, &format!("relay-{at}"), &envs).await;
        readable(&log, url);
        readable(&said, url);
        let told = complaints(&log);
        assert!(told.len() <= LINES_MAX && log.contains("ostgres"), "{url}: {told:?} {log}");
        for args in [
            &["status"][..],
            &["status", "--json"],
            &["run", "--once"],
            &["check"],
            &["migrate"],
            &["dead", "list"],
        ] {
            let asked = stage.asked_with(args, &envs).await;
            readable(&format!("{}{}", asked.stdout, asked.stderr), &format!("{args:?} with {url}"));
            assert!(asked.code != Some(0), "{args:?} with {url}: {asked:?}");
        }
    });
    join_all(all).await;
}

/// Commands that the relay, its probes, `check` and `status` may want, and those that a client may
/// send by itself.
const COMMANDS: [&str; 28] = [
    "ping", "client", "hello", "info", "select", "acl", "config", "command", "cluster", "wait",
    "role", "script", "eval", "evalsha", "xadd", "hset", "hget", "hmget", "hdel", "hgetall",
    "hkeys", "type", "scan", "xinfo", "xlen", "echo", "auth", "exists",
];

/// Any one command is missing: either nothing needs it, or `check` names it, and the printed line
/// is all that is missing.
#[tokio::test]
async fn each_single_command_is_named_or_not_needed() {
    let stage = Stage::new(&outbox("")).await;
    for some in COMMANDS.chunks(5) {
        join_all(some.iter().map(async |command| {
            let user = format!("u-{command}");
            stage
                .command(
                    "ACL",
                    &["SETUSER", &user, "on", ">hunter2", "~*", "+@all", &format!("-{command}")],
                )
                .await;
            let url = stage.redis.url().replace("redis://", &format!("redis://{user}:hunter2@"));
            let envs = [("OUTFLOW_REDIS__URL", url.as_str())];
            let asked = stage.asked_with(&["check", "--json"], &envs).await;
            readable(&format!("{}{}", asked.stdout, asked.stderr), command);
            assert!(!asked.stderr.contains("ERROR"), "{command}: {asked:?}");
            if asked.code != Some(0) {
                assert_eq!(asked.code, Some(78), "{command}: {asked:?}");
                assert!(asked.stdout.contains(&format!(" +{command}")), "{command}: {asked:?}");
                let lines = asked
                    .stdout
                    .lines()
                    .map(|line| serde_json::from_str::<Value>(line).expect(line));
                for finding in lines.filter(|finding| finding["level"] == "error") {
                    let line = finding["remedy"]["text"].as_str().expect("a remedy");
                    let words: Vec<&str> =
                        line.strip_prefix("ACL ").expect("an ACL line").split(' ').collect();
                    stage.run_in_redis("ACL", &words).await;
                }
                let again = stage.asked_with(&["check"], &envs).await;
                assert_eq!(again.code, Some(0), "{command}: {again:?}");
            }
            let status = stage.asked_with(&["status"], &envs).await;
            readable(&format!("{}{}", status.stdout, status.stderr), command);
            assert_eq!(status.code, Some(0), "{command}: {status:?}");
        }))
        .await;
    }
    // As the last one of them: whatever is not asked for is not needed.
    for command in COMMANDS {
        let url = stage.redis.url().replace("redis://", &format!("redis://u-{command}:hunter2@"));
        Numbered { rows: 1, keys: 1 }.insert(&stage).await;
        let once =
            stage.asked_with(&["run", "--once"], &[("OUTFLOW_REDIS__URL", url.as_str())]).await;
        assert_eq!(once.code, Some(0), "{command}: {once:?}");
        readable(&once.stderr, command);
    }
}
