//! `postgres.control_url`: what is refused at the start, and in which words.

use outflow_local::{eventually, free_port};

use crate::support::{LIMIT, Numbered, PgBouncer, Stage, outbox};

const URL: &str = "OUTFLOW_POSTGRES__URL";
const CONTROL: &str = "OUTFLOW_POSTGRES__CONTROL_URL";

/// Asserts that `run`, `run --once` and `check` refuse with these words.
async fn refused(stage: &Stage, envs: &[(&str, &str)], words: &[&str]) {
    for args in [&["run"][..], &["run", "--once"], &["check"]] {
        let asked = stage.asked_with(args, envs).await;
        assert_eq!(asked.code, Some(78), "{args:?}: {asked:?}");
        let said = format!("{}{}", asked.stdout, asked.stderr);
        for word in words {
            assert!(said.contains(word), "{args:?}: {word} is missing: {said}");
        }
    }
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_the_start() {
    let stage = Stage::new(&outbox("")).await;
    let pool = PgBouncer::start(stage.postgres.port(), "transaction", 3, stage.path()).await;
    let (pooled, direct) = (pool.url(), stage.postgres.url());
    // A pooler is named by the key that leads to it.
    let words = ["postgres.url: a transaction pooler", "let postgres.control_url lead"];
    refused(&stage, &[(URL, &pooled)], &words).await;
    let words = ["postgres.control_url: a transaction pooler"];
    refused(&stage, &[(URL, &pooled), (CONTROL, &pooled)], &words).await;
    refused(&stage, &[(URL, &direct), (CONTROL, &pooled)], &words).await;
    stage.sql("create database other").await;
    let in_other = |url: &str| format!("{}other", url.trim_end_matches("postgres"));
    let words = ["postgres.url and postgres.control_url lead to different databases", "\"other\""];
    // In the other one there is no table, which `check` says too.
    refused(&stage, &[(URL, &in_other(&direct)), (CONTROL, &direct)], &words).await;
    refused(&stage, &[(URL, &in_other(&pooled)), (CONTROL, &direct)], &words).await;
}

/// A copy of a server has its identifier: only a lock tells the two apart. It may be a fail-over,
/// so a relay waits, and delivers nothing.
#[tokio::test]
async fn a_copy_of_the_server_is_another_one() {
    let (stage, copy) = (Stage::new(&outbox("")).await, Stage::new(&outbox("")).await);
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) \
        values ('order', 'k', 'T', '{}')",
        )
        .await;
    let (here, there) = (stage.postgres.url(), copy.postgres.url());
    let system = "select system_identifier from pg_control_system()";
    assert_eq!(stage.number(system).await, copy.number(system).await, "the same cluster");
    let envs = [(URL, here.as_str()), (CONTROL, there.as_str())];
    for args in [&["run", "--once"][..], &["check"]] {
        let asked = stage.asked_with(args, &envs).await;
        assert_eq!(asked.code, Some(69), "{args:?}: {asked:?}");
        let said = format!("{}{}", asked.stdout, asked.stderr);
        assert!(said.contains("two servers of one cluster"), "{args:?}: {said}");
    }
    let relay = stage.outflow_with("relay", &["run"], &envs);
    let waits = async || relay.log().contains("lead to different databases");
    eventually(LIMIT, "the relay to wait", waits)
        .await
        .unwrap_or_else(|error| panic!("{error}: {}", relay.log_tail()));
    stage.ready(503).await;
    assert_eq!(stage.number("select count(*) from outbox").await, 1);
    assert_eq!(stage.length("events.order").await, 0);
}

/// A check finds nothing wrong, and the address may come from a file and has its secret kept.
#[tokio::test]
async fn the_address_is_given_as_any_other() {
    let stage = Stage::new(&outbox("")).await;
    let pool = PgBouncer::start(stage.postgres.port(), "transaction", 3, stage.path()).await;
    let file = stage.path().join("control-url");
    std::fs::write(&file, stage.postgres.url().replace("postgres@", "postgres:hunter2@"))
        .expect("a file");
    let (pooled, path) = (pool.url(), file.display().to_string());
    let envs = [(URL, pooled.as_str()), ("OUTFLOW_POSTGRES__CONTROL_URL_FILE", path.as_str())];
    set_mode(&file, 0o644);
    let open = stage.asked_with(&["check"], &envs).await;
    assert_eq!(open.code, Some(78), "{open:?}");
    assert!(format!("{open:?}").contains("postgres.control_url_file"), "{open:?}");
    set_mode(&file, 0o640);
    let checked = stage.asked_with(&["check"], &envs).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    for found in [
        "postgres.url and postgres.control_url lead to the same database",
        "a claim works",
        "room for the 3 connections",
    ] {
        assert!(checked.stdout.contains(found), "{found}: {checked:?}");
    }
    let control = stage.postgres.url().replace("postgres@", "postgres:hunter2@");
    let given = [(URL, pooled.as_str()), (CONTROL, control.as_str())];
    let shown = stage.asked_with(&["config"], &given).await;
    assert!(shown.stdout.contains("control_url = \"postgres://postgres:***@"), "{shown:?}");
    for args in [&["config"][..], &["check"], &["status"]] {
        let asked = stage.asked_with(args, &given).await;
        assert_eq!(asked.code, Some(0), "{args:?}: {asked:?}");
        assert!(!format!("{asked:?}").contains("hunter2"), "{args:?}: {asked:?}");
    }
    // Without a pooler it is not needed, and works.
    let direct = stage.postgres.url();
    let both = [(URL, direct.as_str()), (CONTROL, direct.as_str())];
    let checked = stage.asked_with(&["check"], &both).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("postgres.control_url is not needed"), "{checked:?}");
}

/// The files of `docs/install.md` work as they are there, but for names, ports and passwords.
#[tokio::test]
async fn the_documented_set_up_works() {
    let stage = Stage::new(&outbox("")).await;
    let page = include_str!("../../../docs/install.md");
    let section = page.split("## PgBouncer in transaction mode").nth(1).expect("a section");
    let block = |kind: &str| {
        let begin = format!("```{kind}\n");
        let block = section.split(&begin).nth(1).and_then(|rest| rest.split("```").next());
        block.expect("a block").to_owned()
    };
    let (port, server) = (free_port().expect("a port"), stage.postgres.port());
    let users = stage.path().join("userlist.txt");
    std::fs::write(&users, "\"postgres\" \"\"\n").expect("a file");
    let ini = block("ini")
        .replace(
            "host=HOST port=5432 dbname=app",
            &format!("host=127.0.0.1 port={server} dbname=postgres"),
        )
        .replace("6432", &port.to_string())
        .replace("scram-sha-256", "trust")
        .replace("/etc/pgbouncer/userlist.txt", &users.display().to_string());
    let pool = PgBouncer::configured(port, &ini, stage.path()).await;
    let text = std::fs::read_to_string(stage.path().join("outflow.toml")).expect("a file");
    let own = format!("[postgres]\nurl = \"{}\"\n", stage.postgres.url());
    let documented = block("toml")
        .replace("outflow_relay:PASSWORD", "postgres")
        .replace("6432", &pool.port().to_string())
        .replace("HOST:5432/app", &format!("127.0.0.1:{server}/postgres"));
    assert!(text.contains(&own), "{text}");
    let text = text.replace(&own, &documented);
    std::fs::write(stage.path().join("outflow.toml"), text).expect("a file");
    let checked = stage.asked(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    Numbered { rows: 50, keys: 3 }.insert(&stage).await;
    stage.once().await;
    Numbered { rows: 50, keys: 3 }.check(&stage, "events.order").await;
}

fn set_mode(file: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("a mode");
}
