//! The small commands: config, healthcheck, version, completions, man.

use crate::support::{Stage, outbox};

#[tokio::test]
async fn config_shows_what_counts_and_where_it_comes_from() {
    let stage = Stage::bare(&outbox("batch_rows = 7\n[outbox.columns]\nkey = \"customer\"")).await;
    let file = stage.path().join("outflow.toml").display().to_string();
    let envs = [
        ("OUTFLOW_REDIS__URL", "redis://me:hunter2@cache:6379"),
        ("OUTFLOW_SHUTDOWN_GRACE", "3s"),
        ("OUTFLOW_POSTGRES__URL", "postgres://me:hunter2@db/app"),
    ];
    let shown = stage.asked_with(&["config", "--origin"], &envs).await.data();
    let lines = [
        "shutdown_grace = \"3s\"  # OUTFLOW_SHUTDOWN_GRACE".to_owned(),
        "url = \"redis://me:***@cache:6379\"  # OUTFLOW_REDIS__URL".to_owned(),
        "url = \"postgres://me:***@db/app\"  # OUTFLOW_POSTGRES__URL".to_owned(),
        format!("batch_rows = 7  # {file}"),
        format!("key = \"customer\"  # {file}"),
        "in_flight = 3  # default".to_owned(),
        "payload = \"payload\"  # default".to_owned(),
        "[outbox.columns]".to_owned(),
    ];
    for line in &lines {
        assert!(shown.lines().any(|shown| shown == line), "{shown} has no line {line:?}");
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    // What is printed is a configuration, and says the same again.
    let plain = stage.asked(&["config"]).await.data();
    std::fs::write(stage.path().join("outflow.toml"), &plain).expect("a file");
    assert_eq!(stage.asked(&["config"]).await.data(), plain);
    let secret = stage.path().join("secret");
    std::fs::write(&secret, "redis://:hunter2@h").expect("a file");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a mode");
    std::fs::write(&file, format!("[redis]\nurl_file = {:?}", secret.display().to_string()))
        .expect("a file");
    let from_file = stage.asked(&["config"]).await.data();
    assert!(
        from_file.contains("url_file = ")
            && !from_file.contains("hunter2")
            && !from_file.contains("6379"),
        "{from_file}"
    );
    std::fs::write(&file, "[redsi]").expect("a file");
    let wrong = stage.asked(&["config"]).await;
    assert_eq!(wrong.code, Some(78), "{wrong:?}");
}

#[tokio::test]
async fn healthcheck_asks_the_relay_next_door() {
    let mut stage = Stage::new(&outbox("")).await;
    let nobody = stage.asked(&["healthcheck"]).await;
    assert_eq!(nobody.code, Some(1), "{nobody:?}");
    assert!(nobody.stderr.contains("/livez") && nobody.stderr.contains("refused"), "{nobody:?}");
    let _relay = stage.relay();
    stage.ready(200).await;
    for args in [&["healthcheck"][..], &["healthcheck", "--ready"]] {
        assert_eq!(stage.asked(args).await.data(), "ok\n");
    }
    // The port is what counts: a relay that listens everywhere is asked on loopback.
    let everywhere = format!("0.0.0.0:{}", stage.admin_port);
    assert_eq!(
        stage.asked_with(&["healthcheck"], &[("OUTFLOW_ADMIN__LISTEN", &everywhere)]).await.data(),
        "ok\n"
    );
    stage.redis.kill().await.expect("its end");
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload) values ('a', \
            'b', 'c', '{}')",
        )
        .await;
    stage.ready(503).await;
    let not_ready = stage.asked(&["healthcheck", "--ready"]).await;
    assert_eq!(not_ready.code, Some(1), "{not_ready:?}");
    assert!(
        not_ready.stderr.contains("503") && not_ready.stderr.contains("Redis"),
        "{not_ready:?}"
    );
    assert_eq!(
        stage.asked(&["healthcheck"]).await.code,
        Some(0),
        "a relay that waits for Redis is alive"
    );
}

/// These work without a configuration, or with a broken one.
#[tokio::test]
async fn about_itself() {
    let stage = Stage::bare("[[outbax]]").await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(stage.asked(&["version"]).await.data(), format!("outflow {version}\n"));
    let json = stage.asked(&["version", "--json"]).await.json();
    assert_eq!(
        (json[0]["version"].as_str(), json[0]["schema"].as_i64()),
        (Some(version), Some(i64::from(outflow::operate::migrate::VERSION)))
    );
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stage.asked(&["completions", shell]).await.data();
        assert!(script.contains("outflow") && script.contains("healthcheck"), "{shell}: {script}");
    }
    let page = stage.asked(&["man"]).await.data();
    assert!(page.contains(".TH outflow 1") && page.contains("Exit status"), "{page}");
    let dir = stage.path().join("man");
    std::fs::create_dir(&dir).expect("a directory");
    stage.asked(&["man", "--dir", &dir.display().to_string()]).await.data();
    assert!(dir.join("outflow-dead-retry.1").is_file());
}
