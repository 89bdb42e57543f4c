//! Servers that are not what the address says, or take nobody in: `check` says which it is and what
//! to do, that nothing answers only if nothing does, and no message has Rust's words for
//! programmers in it.

use futures_util::future::join_all;
use outflow_local::{Program, eventually, find, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Asked, LIMIT, Stage, outbox};

/// What no person should have to read: Rust's debug output, fred's own lines, places in somebody's
/// sources.
pub(crate) const FOR_PROGRAMMERS: [&str; 11] = [
    "Os {",
    "kind: ",
    "SimpleError",
    "BlobString",
    "Custom {",
    "Error {",
    ".cargo",
    "src/",
    "Some(",
    "OtherError",
    "Decode",
];

fn readable(asked: &Asked, of: &str) {
    let said = format!("{}{}", asked.stdout, asked.stderr);
    for words in FOR_PROGRAMMERS {
        assert!(!said.contains(words), "{of}: {words:?} in {said}");
    }
    // The relay says last in its log why it ends; nobody else has anything to say there.
    assert!(
        of.starts_with("run") || !asked.stderr.contains("\"ERROR\""),
        "{of}: an error line of a library: {said}"
    );
}

/// The exit status of `check`, as docs/commands.md has it.
fn code_of(kind: &str) -> i32 {
    if kind == "unreachable" { 69 } else { 78 }
}

/// Answers everybody as an HTTP server does.
pub(crate) async fn http() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = client.read(&mut [0; 1024]).await;
                let _ = client
                    .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                    .await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_wrong_redis_is_called_what_it_is() {
    let stage = Stage::new(&outbox("")).await;
    let (redis, postgres) = (stage.redis.port(), stage.postgres.port());
    let (sentinel, http, nobody) =
        (free_port().expect("a port"), http().await, free_port().expect("a port"));
    std::fs::write(
        stage.path().join("sentinel.conf"),
        format!("port {sentinel}\nbind 127.0.0.1\nsentinel monitor orders 127.0.0.1 {redis} 1\n"),
    )
    .expect("a file");
    let server = find("redis-server").expect("Redis");
    let _sentinel =
        Program::start("sentinel", &server, &["sentinel.conf", "--sentinel"], &[], stage.path())
            .expect("a sentinel");
    let listens = async || tokio::net::TcpStream::connect(("127.0.0.1", sentinel)).await.is_ok();
    eventually(LIMIT, "the sentinel", listens).await.expect("a sentinel");
    let at = |port| format!("127.0.0.1:{port}");
    let table = [
        (
            format!("redis://{}/99", at(redis)),
            "refused",
            "DB index is out of range",
            "end redis.url with a database",
        ),
        (
            format!("redis://{}", at(sentinel)),
            "configuration",
            "is a sentinel",
            "redis-sentinel://",
        ),
        (
            format!("redis-sentinel://{}?service_name=orders", at(redis)),
            "configuration",
            "is no sentinel",
            "begin with redis://",
        ),
        (
            format!("redis-sentinel://{}?service_name=other", at(sentinel)),
            "refused",
            "knows no master",
            "correct service_name",
        ),
        (
            format!("redis://{}", at(postgres)),
            "configuration",
            "is a Postgres server",
            "correct host and port of redis.url",
        ),
        (
            format!("rediss://{}", at(postgres)),
            "configuration",
            "is a Postgres server",
            "correct host and port of redis.url",
        ),
        (
            format!("redis://{}", at(http)),
            "configuration",
            "is an HTTP server",
            "correct host and port of redis.url",
        ),
        (
            format!("rediss://{}", at(redis)),
            "configuration",
            "does not speak TLS on this port",
            "begin with redis://",
        ),
        (
            format!("redis://nobody:wrong@{}", at(redis)),
            "refused",
            "WRONGPASS",
            "correct the user or the password",
        ),
        (
            format!("redis://{}", at(nobody)),
            "unreachable",
            "cannot be reached",
            "check that it runs",
        ),
        (
            "redis://nobody.invalid".to_owned(),
            "unreachable",
            "cannot be reached",
            "check that it runs",
        ),
    ];
    // Side by side: most of the time is spent waiting for an answer that does not come.
    let tried = table.iter().map(async |(url, kind, what, remedy)| {
        let envs = [("OUTFLOW_REDIS__URL", url.as_str())];
        let asked = stage.asked_with(&["check", "--json"], &envs).await;
        assert_eq!(asked.code, Some(code_of(kind)), "{url}: {asked:?}");
        let line = asked
            .stdout
            .lines()
            .find(|line| line.contains(what))
            .unwrap_or_else(|| panic!("{url}: {asked:?}"));
        assert!(line.contains(remedy), "{url}: {line}");
        assert!(line.contains(&format!(r#""kind":"{kind}""#)), "{url}: {line}");
        readable(&asked, url);
        let status = stage.asked_with(&["status"], &envs).await;
        readable(&status, &format!("status with {url}"));
    });
    join_all(tried).await;
}

#[tokio::test]
async fn a_wrong_postgres_is_called_what_it_is() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("create role poor login; create role few login connection limit 0").await;
    stage.sql("create database closed allow_connections false").await;
    stage.sql("create database shut").await;
    stage.sql("revoke connect on database shut from public").await;
    let (redis, postgres) = (stage.redis.port(), stage.postgres.port());
    let (http, nobody) = (http().await, free_port().expect("a port"));
    let at =
        |user: &str, port: u16, more: &str| format!("postgres://{user}@127.0.0.1:{port}/{more}");
    let table = [
        (
            at("postgres", redis, "postgres"),
            "configuration",
            "is a Redis server",
            "correct host and port of postgres.url",
        ),
        (
            at("postgres", http, "postgres"),
            "configuration",
            "is an HTTP server",
            "correct host and port of postgres.url",
        ),
        (
            at("postgres", postgres, "postgres?sslmode=require"),
            "insecure",
            "does not offer TLS",
            "switch TLS on",
        ),
        (at("postgres", postgres, "nothing"), "refused", "does not exist", "correct postgres.url"),
        (at("nobody", postgres, "postgres"), "refused", "does not exist", "correct postgres.url"),
        (
            at("few", postgres, "postgres"),
            "unavailable",
            "too many connections for role",
            "connection limit",
        ),
        (
            at("postgres", postgres, "closed"),
            "unavailable",
            "not currently accepting connections",
            "allow_connections = true",
        ),
        (
            at("poor", postgres, "shut"),
            "refused",
            "permission denied for database",
            "grant connect on the database",
        ),
        (
            at("postgres", nobody, "postgres"),
            "unreachable",
            "cannot be reached",
            "check that it runs",
        ),
    ];
    let tried = table.iter().map(async |(url, kind, what, remedy)| {
        let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
        let asked = stage.asked_with(&["check", "--json"], &envs).await;
        assert_eq!(asked.code, Some(code_of(kind)), "{url}: {asked:?}");
        let line = asked
            .stdout
            .lines()
            .find(|line| line.contains(what))
            .unwrap_or_else(|| panic!("{url}: {asked:?}"));
        assert!(line.contains(remedy), "{url}: {line}");
        assert!(line.contains(&format!(r#""kind":"{kind}""#)), "{url}: {line}");
        readable(&asked, url);
        for args in [&["status"][..], &["dead", "list"], &["migrate"], &["run", "--once"]] {
            readable(
                &stage.asked_with(args, &envs).await,
                &format!("{} with {url}", args.join(" ")),
            );
        }
    });
    join_all(tried).await;
}

/// A standby is named by every command, and the relay does not wait for a promotion that nobody
/// promised.
#[tokio::test]
async fn a_standby_is_no_primary() {
    let mut stage = Stage::new(&outbox("")).await;
    stage.postgres.stop_fast().await.expect("its end");
    // In recovery for ever: a hot standby that hears of no primary.
    let data = stage.path().join("postgres");
    for file in ["standby.signal", "postgresql.auto.conf"] {
        let path = data.join(file);
        std::fs::write(&path, "").expect("a file");
        std::os::unix::fs::chown(
            &path,
            std::fs::metadata(&data).ok().map(|m| std::os::unix::fs::MetadataExt::uid(&m)),
            None,
        )
        .expect("an owner");
    }
    stage.postgres.start_again().await.expect("a standby");
    for args in [&["check"][..], &["run"], &["run", "--once"], &["migrate"], &["dead", "list"]] {
        let asked = stage.asked(args).await;
        assert_eq!(asked.code, Some(78), "{args:?}: {asked:?}");
        let said = format!("{}{}", asked.stdout, asked.stderr);
        assert!(
            said.contains("is a standby") && said.contains("lead to the primary"),
            "{args:?}: {said}"
        );
        readable(&asked, &args.join(" "));
    }
}

/// A user who may do as good as nothing is told what is missing, one line after the other, until
/// all is well.
#[tokio::test]
async fn a_poor_user_of_redis_is_told_what_to_run() {
    for (user, rules) in [
        ("relay", &["+@read", "+ping"][..]),
        ("relay", &[]),
        ("relay", &["+select"]),
        (
            "relay",
            &[
                "+@all", "-client", "-hello", "-info", "-select", "-acl", "-config", "-command",
                "-cluster", "-wait",
            ],
        ),
        ("default", &["-@all", "-ping", "resetkeys"]),
    ] {
        let stage = Stage::new(&outbox("")).await;
        stage
            .sql(
                "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values \
            ('order', 'k', 'T', '{}')",
            )
            .await;
        stage.command("ACL", &["SETUSER", "admin", "on", ">hunter2", "~*", "+@all"]).await;
        let at = format!("127.0.0.1:{}", stage.redis.port());
        let admin = secrecy::SecretString::from(format!("redis://admin:hunter2@{at}"));
        let admin = outflow_connect::redis::Redis::open(&admin, "test").expect("an address");
        admin.ready(LIMIT).await.expect("a connection");
        let password = if user == "default" { "nopass" } else { ">hunter2" };
        let line: Vec<&str> =
            ["SETUSER", user, "on", password].iter().chain(rules).copied().collect();
        admin.call("ACL", line.into_iter().collect()).await.expect("a user");
        let url = if user == "default" {
            format!("redis://{at}")
        } else {
            format!("redis://{user}:hunter2@{at}/0")
        };
        let envs = [("OUTFLOW_REDIS__URL", url.as_str())];
        let mut rounds = 0;
        loop {
            let asked = stage.asked_with(&["check", "--json"], &envs).await;
            readable(&asked, &format!("{user} {rules:?}"));
            let lines: Vec<serde_json::Value> =
                asked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
            if asked.code == Some(0) {
                break;
            }
            assert_eq!(asked.code, Some(78), "{user} {rules:?}: {asked:?}");
            rounds += 1;
            assert!(rounds < 6, "{user} {rules:?}: {asked:?}");
            for finding in lines.iter().filter(|finding| finding["level"] == "error") {
                assert!(finding["kind"].is_string(), "{finding}");
                let text = finding["remedy"]["text"].as_str().expect("a remedy");
                let words: Vec<&str> = text
                    .strip_prefix("ACL ")
                    .unwrap_or_else(|| panic!("{finding}"))
                    .split(' ')
                    .collect();
                if let Err(failure) = admin.call("ACL", words.into_iter().collect()).await {
                    assert!(
                        failure.to_string().contains("after the * pattern"),
                        "{text}: {failure}"
                    );
                }
            }
        }
        let once = stage.asked_with(&["run", "--once"], &envs).await;
        assert_eq!(once.code, Some(0), "{user} {rules:?}: {once:?}");
        readable(&once, &format!("run as {user} {rules:?}"));
        readable(
            &stage.asked_with(&["status"], &envs).await,
            &format!("status as {user} {rules:?}"),
        );
        admin.close().await;
    }
}
