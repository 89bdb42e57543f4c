//! The section of the configuration: shown without secrets, checked, and read again.

use outflow_local::free_port;
use reqwest::StatusCode;

use super::{Browser, OPERATE, READ, Served, configuration, write_token};
use crate::support::{Stage, outbox};

#[tokio::test]
async fn the_effective_configuration_has_its_keys_and_no_token() {
    let stage = Stage::bare(&outbox("")).await;
    let more = "hosts = [\"a.example\", \"b.example\"]\nproxy_from = [\"10.0.0.0/8\"]";
    stage.configure(&configuration(&stage, more));
    let shown = stage.asked(&["config"]).await.data();
    for words in [
        "hosts = [\"a.example\", \"b.example\"]",
        "[[console.tokens]]",
        "name = \"anna\"",
        "role = \"operate\"",
        "session_idle = \"1h\"",
        "groups = []",
    ] {
        assert!(shown.contains(words), "no {words:?} in {shown}");
    }
    assert!(!shown.contains(OPERATE) && !shown.contains(READ), "{shown}");
    // What is printed can be saved.
    let file = stage.path().join("shown.toml");
    let urls = [("postgres", stage.postgres.url()), ("redis", stage.redis.url())];
    std::fs::write(&file, &shown).expect("a file");
    let file = file.display().to_string();
    let envs = [
        ("OUTFLOW_POSTGRES__URL", urls[0].1.as_str()),
        ("OUTFLOW_REDIS__URL", urls[1].1.as_str()),
        ("OUTFLOW_CONFIG", file.as_str()),
    ];
    let binary = env!("CARGO_BIN_EXE_outflow");
    let again = std::process::Command::new(binary).arg("config").envs(envs).output();
    let again = again.expect("an output");
    assert_eq!(String::from_utf8_lossy(&again.stdout), shown);
}

#[tokio::test]
async fn check_looks_at_its_files_and_at_the_way_to_it() {
    let stage = Stage::new(&outbox("")).await;
    let port = free_port().expect("a port");
    stage.configure(&configuration(&stage, &format!("listen = \"0.0.0.0:{port}\"")));
    let checked = stage.asked(&["check"]).await.data();
    for words in ["console.tokens.0.file", "is closed to others", "has no TLS", "console.sslcert"] {
        assert!(checked.contains(words), "no {words:?} in {checked}");
    }
    std::fs::remove_file(stage.path().join("ben")).expect("a file");
    let checked = stage.asked(&["check"]).await;
    assert_eq!(checked.code, Some(78), "a relay would not start: {checked:?}");
    assert!(checked.stdout.contains("console.tokens.1.file"), "{checked:?}");
}

/// What it prints is what has to be run.
#[tokio::test]
async fn check_names_what_its_role_may_not_do() {
    let stage = Stage::new(&outbox("settle = \"keep\"")).await;
    stage.sql("create role viewer login; grant usage on schema public to viewer").await;
    let url = stage.postgres.url().replace("postgres@", "viewer@");
    let file = write_token(&stage, "console-url", &url);
    let section = configuration(&stage, &format!("postgres_url_file = {file:?}"));
    stage.configure(&section.replace(&outbox(""), &outbox("settle = \"keep\"")));
    let missing = async || {
        let all = stage.asked(&["check", "--json"]).await.stdout;
        let findings = all.lines().map(|line| serde_json::from_str(line).expect("JSON"));
        let of_role = findings.filter(|one: &serde_json::Value| one["about"] == "console");
        let grants = of_role.filter(|one| one["remedy"]["kind"] == "sql");
        grants.map(|one| one["remedy"]["text"].as_str().expect("a text").to_owned()).collect()
    };
    let grants: Vec<String> = missing().await;
    for line in [
        "grant usage on schema outflow to viewer;",
        "grant select on outflow.audit to viewer;",
        "grant insert (action, outbox, letters, filter, os_user, host, via, operator) on \
         outflow.audit to viewer;",
        "grant update (retired_at) on outflow.dead_letter to viewer;",
        "grant insert on \"public\".\"outbox\" to viewer;",
    ] {
        assert!(grants.iter().any(|grant| grant == line), "no {line:?} in {grants:?}");
    }
    stage.sql(&grants.concat()).await;
    assert_eq!(missing().await, Vec::<String>::new());
    stage.sql("revoke insert on outflow.audit from viewer").await;
    assert_eq!(missing().await.len(), 1, "once, although each column lacks it");
}

/// A reload of the relay is one of its console.
#[tokio::test]
async fn a_token_is_added_and_removed_by_a_reload() {
    let stage = Stage::new(&outbox("")).await;
    let port = free_port().expect("a port");
    let listen = format!("listen = \"127.0.0.1:{port}\"");
    stage.configure(&configuration(&stage, &listen));
    let mut served = Served { program: stage.relay(), port };
    served.listens().await;
    let ben = Browser::with(port, READ).await;
    let file = write_token(&stage, "carla", "carla-carla-carla-carla");
    let token = format!("[[console.tokens]]\nname = \"carla\"\nrole = \"read\"\nfile = {file:?}\n");
    let section = format!("[console]\n{listen}\n{token}{}", outbox(""));
    stage.configure(&section);
    served.program.signal(nix::sys::signal::Signal::SIGHUP);
    let carla = Browser::of(port);
    let logged_in = outflow_local::eventually(crate::support::LIMIT, "the new token", async || {
        let known = served.program.log().contains("the new configuration is in effect");
        known && carla.log_in("carla-carla-carla-carla").await.status == StatusCode::SEE_OTHER
    });
    logged_in.await.expect("a session");
    carla.get("/audit").await.has(&["carla"]);
    assert_eq!(ben.get("/audit").await.status, StatusCode::SEE_OTHER, "his token is gone");
}
