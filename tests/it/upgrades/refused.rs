//! What this version of Outflow cannot work with is refused when it starts: a schema that only
//! newer ones know, and servers that are too old.

use std::process::Command;

use outflow::operate::migrate::VERSION;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{CATALOG, text};
use crate::support::{Stage, outbox};

/// What starts and acts. `status` and `find` only look, and show what they understand.
const COMMANDS: [&[&str]; 7] = [
    &["run"],
    &["run", "--once"],
    &["check"],
    &["migrate"],
    &["dead", "list"],
    &["pause", "--why", "x"],
    &["resume"],
];
const INSERT: &str = "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
    values ('a', 'b', 'c', '{}')";

async fn all_refuse(stage: &Stage, commands: &[&[&str]], words: &[&str]) {
    for command in commands {
        let asked = stage.asked(command).await;
        assert_eq!(asked.code, Some(78), "{command:?}: {asked:?}");
        let said = format!("{}{}", asked.stdout, asked.stderr);
        for word in words {
            assert!(said.contains(word), "{command:?}: {word:?} is not in {said}");
        }
    }
}

#[tokio::test]
async fn a_schema_that_only_newer_programs_know_is_refused() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql("insert into outflow.migration (version) values (99)").await;
    stage.sql(INSERT).await;
    let before = text(&stage, CATALOG).await;
    let known = format!("up to {VERSION}");
    all_refuse(&stage, &COMMANDS, &["version 99", &known, "start the version of Outflow"]).await;
    // The printed script, which a DBA runs.
    let script = stage.path().join("script.sql");
    std::fs::write(&script, stage.asked(&["migrate", "--print"]).await.data()).expect("a file");
    let psql = Command::new("psql")
        .args(["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--quiet", "--file"])
        .arg(&script)
        .arg(stage.postgres.url())
        .output()
        .expect("psql");
    let said = String::from_utf8_lossy(&psql.stderr).into_owned();
    assert!(!psql.status.success() && said.contains("version 99"), "{said}");
    assert_eq!(text(&stage, CATALOG).await, before, "nothing was changed");
    assert_eq!(stage.number("select count(*) from outbox").await, 1, "nothing was delivered");

    // One that says that this version may work with it: a rolling upgrade, and the way back.
    stage.sql(&format!("update outflow.migration set oldest = {VERSION} where version = 99")).await;
    let asked = stage.asked(&["migrate"]).await;
    assert!(asked.code == Some(0) && asked.stderr.contains("nothing was changed"), "{asked:?}");
    assert_eq!(text(&stage, CATALOG).await, before, "nothing was changed");
    stage.asked(&["check"]).await.data();
    stage.once().await;
    assert_eq!(stage.length("events.a").await, 1);
}

/// Whoever may not read the versions works as before: `grants.sql` grants it, and so does the step
/// that adds the column.
#[tokio::test]
async fn a_role_that_may_not_read_the_versions_is_not_refused() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(super::ROLES).await;
    stage.sql(super::GRANTS).await;
    stage.sql("revoke select on outflow.migration from outflow_relay").await;
    stage.sql(INSERT).await;
    super::asked_as(&stage, "outflow_relay", &["run", "--once"]).await.data();
    assert_eq!(stage.length("events.a").await, 1);
}

/// The real servers, whose words about their version are changed on the way: as long as they were.
#[tokio::test]
async fn servers_that_are_too_old_are_refused() {
    let stage = Stage::new(&outbox("")).await;
    let major = stage.version().await.to_string();
    let (says, lies) = (format!("server_version\0{major}"), "server_version\x0013");
    let postgres = lying(stage.postgres.port(), says.into_bytes(), lies.into()).await;
    let url = stage.postgres.url().replace(&stage.postgres.port().to_string(), &postgres);
    for command in COMMANDS {
        let asked = stage.asked_with(command, &[("OUTFLOW_POSTGRES__URL", &url)]).await;
        assert_eq!(asked.code, Some(78), "{command:?}: {asked:?}");
        let said = format!("{}{}", asked.stdout, asked.stderr);
        assert!(said.contains("Postgres 13") && said.contains("14 or later"), "{said}");
    }
    let info = stage.command("INFO", &["server"]).await.string().expect("a text");
    let field = "redis_version:";
    let at = info.find(field).expect("the version") + field.len();
    let says = format!("{field}{}", &info[at..=at]);
    let redis = lying(stage.redis.port(), says.into_bytes(), format!("{field}5").into()).await;
    let url = stage.redis.url().replace(&stage.redis.port().to_string(), &redis);
    for command in [&["run"][..], &["run", "--once"], &["check"]] {
        let asked = stage.asked_with(command, &[("OUTFLOW_REDIS__URL", &url)]).await;
        assert_eq!(asked.code, Some(78), "{command:?}: {asked:?}");
        let said = format!("{}{}", asked.stdout, asked.stderr);
        assert!(said.contains("Redis 5.") && said.contains("Redis 6.2 or later"), "{said}");
    }
    // A relay that is at work stays where it is.
    let mut relay = stage.relay();
    stage.ready(200).await;
    stage.configure_with(&url, &outbox(""));
    crate::reload::reload(&stage, &mut relay, "failure").await;
    assert!(relay.log().contains("Redis 6.2 or later"), "{}", relay.log_tail());
    stage.sql(INSERT).await;
    stage.reaches("events.a", 1).await;
}

/// `make upgrades` runs this with a real Postgres 13.
#[tokio::test]
#[ignore = "needs a Postgres that is too old in OUTFLOW_TEST_POSTGRES_BIN"]
async fn a_real_postgres_that_is_too_old_is_refused() {
    let stage = Stage::bare(&outbox("")).await;
    let version = stage.version().await;
    assert!(version < 14, "this is Postgres {version}");
    all_refuse(&stage, &COMMANDS, &[&format!("Postgres {version}."), "14 or later"]).await;
    let schemas = "select count(*) from pg_namespace where nspname = 'outflow'";
    assert_eq!(stage.number(schemas).await, 0, "nothing was made");
}

/// `make upgrades` runs this with a real Redis 6.0.
#[tokio::test]
#[ignore = "needs a Redis that is too old in OUTFLOW_TEST_REDIS_BIN"]
async fn a_real_redis_that_is_too_old_is_refused() {
    let stage = Stage::new(&outbox("")).await;
    let commands = [&["run"][..], &["run", "--once"], &["check"]];
    all_refuse(&stage, &commands, &["Redis 6.0.", "Redis 6.2 or later"]).await;
}

/// A way to a server on which one text of its answers is replaced by another one of that length.
/// Both servers send the answer in question at once, in one piece.
async fn lying(port: u16, says: Vec<u8>, lies: Vec<u8>) -> String {
    assert_eq!(says.len(), lies.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client, port, says.clone(), lies.clone()));
        }
    });
    own.to_string()
}

async fn pass(client: TcpStream, port: u16, says: Vec<u8>, lies: Vec<u8>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            let answer = &mut buffer[..length];
            if let Some(at) = answer.windows(says.len()).position(|window| window == says) {
                answer[at..at + lies.len()].copy_from_slice(&lies);
            }
            if to_client.write_all(answer).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = answers => {}
        _ended = tokio::io::copy(&mut from_client, &mut to_server) => {}
    }
}
