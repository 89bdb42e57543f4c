//! SIGHUP: a good configuration takes effect, a bad one changes nothing and says so.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use outflow_local::{Program, Signal, eventually};
use serde_json::Value;

use crate::support::{LIMIT, Numbered, Stage, event_table, outbox};

const AUDIT: &str = "[[outbox]]\nname = \"audit\"\ntable = \"app.audit\"\nstream = \"audit\"\n";
fn create_audit() -> String {
    format!("create schema app; {}", event_table("app.audit"))
}

/// Sends SIGHUP, and waits until one reload more is counted.
pub(crate) async fn reload(stage: &Stage, relay: &mut Program, expected: &str) {
    let count = async || {
        let metrics = stage.metrics().await;
        let line = format!("outflow_config_reloads_total{{result=\"{expected}\"}} ");
        metrics
            .lines()
            .find_map(|shown| shown.strip_prefix(&line)?.parse::<u64>().ok())
            .expect("a count")
    };
    let before = count().await;
    relay.signal(Signal::SIGHUP);
    let waited = eventually(LIMIT, "a reload", async || count().await > before).await;
    assert!(waited.is_ok(), "no {expected}: {}", relay.log_tail());
}

async fn status(stage: &Stage) -> Value {
    let url = format!("http://127.0.0.1:{}/status", stage.admin_port);
    let text = reqwest::get(url).await.expect("an answer").text().await.expect("a text");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_says_so() {
    let stage = Stage::new(&outbox("")).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    let table = [
        ("nonsense".to_owned(), "outflow.toml"),
        (outbox("batch_rows = 0"), "outbox.0.batch_rows"),
        // Valid in itself; what the servers know better is asked before anything is stopped.
        (format!("{}{AUDIT}", outbox("")), "there is no table app.audit"),
        (outbox("[outbox.columns]\nkey = \"customer\""), "columns.key names"),
    ];
    for (outboxes, words) in &table {
        stage.configure(outboxes);
        reload(&stage, &mut relay, "failure").await;
        let problem =
            status(&stage).await["config_problem"].as_str().unwrap_or_default().to_owned();
        assert!(problem.contains(words), "{words}: {problem}");
        assert!(stage.metrics().await.contains("outflow_config_last_reload_successful 0"));
        assert!(
            relay.log().contains("rejected the new configuration: the old one stays in effect"),
            "{}",
            relay.log_tail()
        );
    }
    assert!(!relay.log().contains("\"stopped\""), "nobody was stopped: {}", relay.log());
    let rows = Numbered { rows: 500, keys: 3 };
    rows.insert(&stage).await;
    stage.drained().await;
    rows.check(&stage, "events.order").await;
    stage.configure(&outbox(""));
    reload(&stage, &mut relay, "success").await;
    assert!(stage.metrics().await.contains("outflow_config_last_reload_successful 1"));
    assert_eq!(status(&stage).await["config_problem"], Value::Null);
}

/// Another Redis that is away, that does not let the relay in, or that lets it do nothing.
#[tokio::test]
async fn another_redis_that_is_no_use_is_rejected() {
    let stage = Stage::new(&outbox("")).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    stage.command("ACL", &["SETUSER", "poor", "on", ">hunter2", "+ping", "+client", "~*"]).await;
    let nobody = outflow_local::free_port().expect("a port");
    let ours = stage.redis.url();
    let table = [
        (format!("redis://127.0.0.1:{nobody}"), "refused"),
        (ours.replace("redis://", "redis://poor:wrong@"), "WRONGPASS"),
        (ours.replace("redis://", "redis://poor:hunter2@"), "NOPERM"),
    ];
    for (url, words) in &table {
        stage.configure_with(url, &outbox(""));
        reload(&stage, &mut relay, "failure").await;
        let problem =
            status(&stage).await["config_problem"].as_str().unwrap_or_default().to_owned();
        assert!(problem.contains("redis.url") && problem.contains(words), "{words}: {problem}");
        assert!(!problem.contains("hunter2") && !problem.contains("wrong"), "a secret: {problem}");
        assert!(stage.metrics().await.contains("outflow_config_last_reload_successful 0"));
        stage.ready(200).await;
    }
    let rows = Numbered { rows: 500, keys: 3 };
    rows.insert(&stage).await;
    stage.drained().await;
    rows.check(&stage, "events.order").await;
    // The one that is used already may be away: other changes are taken, and it is waited for.
    stage.configure(&outbox(""));
    reload(&stage, &mut relay, "success").await;
    let mut stage = stage;
    stage.redis.kill().await.expect("its end");
    stage.configure(&outbox("batch_rows = 7"));
    reload(&stage, &mut relay, "success").await;
}

/// Added, changed, removed: the others are left alone, and under load nothing is lost, doubled or
/// out of order.
#[tokio::test]
async fn outboxes_come_change_and_go() {
    let stage = Stage::new(&outbox("")).await;
    stage.sql(&create_audit()).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    let pid = relay.pid();

    let both = format!("{}{AUDIT}", outbox(""));
    stage.configure(&both);
    stage.migrate().await;
    reload(&stage, &mut relay, "success").await;
    let audit = Numbered { rows: 300, keys: 2 };
    audit.insert_into(&stage, "app.audit").await;
    stage.emptied("app.audit").await;
    audit.check(&stage, "audit").await;
    let at_work = status(&stage).await;
    let names: Vec<&str> = at_work["outboxes"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["outbox"].as_str())
        .collect();
    assert_eq!(names, ["orders", "audit"]);

    // Changed in the middle of its work, twice; the other one works in the same generation as
    // before.
    let rows = Numbered { rows: 20_000, keys: 11 };
    rows.insert(&stage).await;
    for batch_rows in [100, 50] {
        stage.configure(&both.replace(
            "[[outbox]]\nname = \"audit\"",
            &format!("batch_rows = {batch_rows}\n[[outbox]]\nname = \"audit\""),
        ));
        reload(&stage, &mut relay, "success").await;
    }
    stage.drained().await;
    rows.check(&stage, "events.order").await;
    let generation = "select generation from outflow.outbox where name = ";
    assert_eq!(stage.number(&format!("{generation}'audit'")).await, 1);
    assert!(stage.number(&format!("{generation}'orders'")).await >= 2);
    let delivered = status(&stage).await["outboxes"][0]["delivered"].as_i64();
    assert_eq!(delivered, Some(20_000), "counted on through the changes");

    stage.configure(&outbox(""));
    reload(&stage, &mut relay, "success").await;
    let metrics = stage.metrics().await;
    assert!(metrics.contains("outflow_slots_owned{outbox=\"orders\"} 64"), "{metrics}");
    assert!(!metrics.contains("outflow_slots_owned{outbox=\"audit\"}"), "{metrics}");
    let left = "select count(*) from outflow.member join outflow.outbox using (relation) join \
        pg_locks \
                on locktype = 'advisory' and objid = number::oid and objsubid = 2 where name = \
                'audit'";
    assert_eq!(stage.number(left).await, 0, "nobody works on a removed outbox");
    assert_eq!(relay.pid(), pid);
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}

#[tokio::test]
async fn the_log_level_and_the_servers_addresses_change() {
    let stage = Stage::new(&outbox("")).await;
    let mut relay = stage.relay();
    stage.ready(200).await;
    let file = stage.path().join("outflow.toml");
    let change = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&file).expect("a file");
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).expect("a file");
    };
    change("level = \"debug\"", "level = \"warn\"");
    change("[admin]\nlisten = \"127.0.0.1:", "[admin]\nlisten = \"127.0.0.2:");
    reload(&stage, &mut relay, "success").await;
    assert!(relay.log().contains("takes effect only after a restart"), "{}", relay.log_tail());
    let quiet = relay.log().len();
    // All sessions are new ones, with the parameter that the address has now.
    change("/postgres\"", "/postgres?options=-c%20work_mem%3D4321kB\"");
    let sessions = "select count(*) from pg_stat_activity where application_name like 'outflow%' \
        and backend_start < ";
    let before: String =
        stage.client().await.query_one("select now()::text", &[]).await.expect("a time").get(0);
    reload(&stage, &mut relay, "success").await;
    let rows = Numbered { rows: 500, keys: 3 };
    rows.insert(&stage).await;
    stage.drained().await;
    rows.check(&stage, "events.order").await;
    eventually(LIMIT, "the old sessions to be gone", async || {
        stage.number(&format!("{sessions}'{before}'")).await == 0
    })
    .await
    .expect("new sessions");
    assert!(!relay.log()[quiet..].contains("\"level\":\"INFO\""), "{}", relay.log_tail());
    // A password that is refused is found before anybody is stopped.
    stage.sql("create role nobody").await;
    change("postgres://postgres@", "postgres://nobody@");
    reload(&stage, &mut relay, "failure").await;
    rows.insert(&stage).await;
    stage.drained().await;
}

/// The file keeps its name, and so does the address.
#[tokio::test]
async fn a_new_password_in_a_file_of_passwords_takes_effect() {
    let stage = Stage::new(&outbox("")).await;
    stage.guarded("old").await;
    let passwords = stage.path().join("passwords");
    let write = |password: &str| {
        std::fs::write(&passwords, format!("*:*:*:guarded:{password}\n")).expect("a file");
        std::fs::set_permissions(&passwords, Permissions::from_mode(0o600)).expect("a mode");
    };
    write("old");
    let url = format!(
        "postgres://guarded@127.0.0.1:{}/postgres?passfile={}",
        stage.postgres.port(),
        passwords.display()
    );
    let envs = [("OUTFLOW_POSTGRES__URL", url.as_str())];
    let mut relay = stage.outflow_with("relay", &["run"], &envs);
    stage.ready(200).await;
    stage.sql("alter role guarded password 'new'").await;
    write("new");
    reload(&stage, &mut relay, "success").await;
    stage
        .sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'guarded'")
        .await;
    let rows = Numbered { rows: 10, keys: 2 };
    rows.insert(&stage).await;
    stage.drained().await;
    rows.check(&stage, "events.order").await;
}
