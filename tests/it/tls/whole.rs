//! The programs over TLS, and what `outflow check` says of it.

use std::path::Path;

use outflow_local::{Program, eventually, free_port};
use serde_json::Value;

use super::stage::Secured;
use crate::support::{LIMIT, Numbered, Valid, outbox, program};

/// Both servers over TLS with client certificates, by keys of the configuration.
fn configure(secured: &Secured, authority: &Path) {
    let client = secured.authority.sign("client", &[], Valid::Now);
    let (certificate, key) = (client.certificate.display(), client.key.display());
    let (postgres, redis, admin) =
        (secured.stage.postgres.port(), secured.redis_port, secured.stage.admin_port);
    let authority = authority.display();
    let text = format!(
        "[postgres]\nurl = \"postgres://client@localhost:{postgres}/postgres\"\nsslmode = \
            \"verify-full\"\n\
         sslrootcert = \"{authority}\"\nsslcert = \"{certificate}\"\nsslkey = \"{key}\"\n\
         [redis]\nurl = \"rediss://localhost:{redis}\"\nssl_ca_certs = \"{authority}\"\n\
         ssl_certfile = \"{certificate}\"\nssl_keyfile = \"{key}\"\n[admin]\nlisten = \
         \"127.0.0.1:{admin}\"\n{}",
        outbox("")
    );
    std::fs::write(secured.stage.path().join("outflow.toml"), text).expect("a file");
}

#[tokio::test]
async fn the_relay_works_over_tls_and_check_says_so() {
    let secured = Secured::new().await;
    let strict = secured.authority.sign("strict", &["localhost"], Valid::Days(5));
    secured.serve_redis(&strict, "yes").await;
    configure(&secured, &secured.authority.file);
    let rows = Numbered { rows: 3_000, keys: 7 };
    rows.insert(&secured.stage).await;
    let mut relay = secured.stage.relay();
    secured.stage.drained().await;
    rows.check(&secured.stage, "events.order").await;
    let client = secured.stage.client().await;
    let plain = "select count(*) from pg_stat_activity join pg_stat_ssl using (pid) where usename \
        = 'client' and not ssl";
    let plain: i64 = client.query_one(plain, &[]).await.expect("a count").get(0);
    assert_eq!(plain, 0, "every session of the relay is encrypted");

    let checked = secured.stage.asked(&["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let said = &checked.stdout;
    let postgres = format!(
        "✓ ok: postgres: localhost:{} is reached over TLS 1.3 (",
        secured.stage.postgres.port()
    );
    let redis =
        format!("! warning: redis: localhost:{} is reached over TLS 1.3 (", secured.redis_port);
    assert!(said.contains(&postgres) && said.contains("certificate valid until"), "{said}");
    assert!(said.contains(&redis) && said.contains("; renew the server's certificate"), "{said}");
    // The alert's series: five days for the server's, far away for the others.
    let days = |metrics: &str, labels: &str| {
        let name = format!("outflow_certificate_expiry_timestamp_seconds{{{labels}}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("a series");
        (line.parse::<f64>().expect("a number")
            - jiff::Timestamp::now().as_duration().as_secs_f64())
            / 86_400.0
    };
    eventually(LIMIT, "the certificates to be looked at", async || {
        let metrics = secured.stage.metrics().await;
        let redis = days(&metrics, "certificate=\"server\",server=\"redis\"");
        let client = days(&metrics, "certificate=\"client\",server=\"redis\"");
        let postgres = days(&metrics, "certificate=\"server\",server=\"postgres\"");
        (3.0..=5.0).contains(&redis) && client > 100.0 && postgres > 100.0
    })
    .await
    .expect("dates");
    relay.terminate();
    assert!(relay.wait(LIMIT).await.expect("an end").success(), "{}", relay.log_tail());
}

/// A certificate is renewed under its old name.
#[tokio::test]
async fn a_reload_takes_a_renewed_certificate() {
    let secured = Secured::new().await;
    configure(&secured, &secured.authority.file);
    let mut relay = secured.stage.relay();
    secured.stage.ready(200).await;
    let client = secured.stage.client().await;
    let shown = async || {
        let query = "select array_agg(distinct client_serial::text) from pg_stat_ssl join \
            pg_stat_activity using (pid) \
                     where usename = 'client'";
        let row = client.query_one(query, &[]).await.expect("serial numbers");
        row.get::<_, Option<Vec<String>>>(0).unwrap_or_default()
    };
    let before = shown().await;
    assert_eq!(before.len(), 1);
    secured.authority.sign("client", &[], Valid::Now);
    relay.signal(outflow_local::Signal::SIGHUP);
    eventually(LIMIT, "the new certificate", async || {
        let now = shown().await;
        now.len() == 1 && now != before
    })
    .await
    .expect("another serial number");
    let rows = Numbered { rows: 300, keys: 3 };
    rows.insert(&secured.stage).await;
    secured.stage.drained().await;
    rows.check(&secured.stage, "events.order").await;
}

#[tokio::test]
async fn check_and_the_relay_name_what_is_wrong_with_tls() {
    let secured = Secured::new().await;
    configure(&secured, &secured.stranger.file);
    let checked = secured.stage.asked(&["check", "--json"]).await;
    assert_eq!(checked.code, Some(78), "{checked:?}");
    let findings: Vec<Value> =
        checked.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for (about, key) in [("postgres", "sslrootcert"), ("redis", "ssl_ca_certs")] {
        let found = findings.iter().find(|finding| finding["about"] == about).expect(about);
        assert_eq!(found["level"], "error", "{found}");
        assert!(found["what"].as_str().is_some_and(|what| what.contains("localhost:")), "{found}");
        assert!(found["remedy"]["text"].as_str().is_some_and(|text| text.contains(key)), "{found}");
    }
    let once = secured.stage.asked(&["run", "--once"]).await;
    assert_eq!(once.code, Some(78), "{once:?}");
    assert!(once.stderr.contains("signed by nobody who is trusted here"), "{once:?}");
    // A daemon waits: the certificate may be the server's to mend.
    let _relay = secured.stage.relay();
    secured.stage.not_ready("signed by nobody who is trusted here").await;
}

#[tokio::test]
async fn the_companions_take_the_same_addresses() {
    let secured = Secured::new().await;
    let client = secured.authority.sign("client", &[], Valid::Now);
    let (authority, certificate, key) =
        (secured.authority.file.display(), client.certificate.display(), client.key.display());
    let postgres = secured.postgres_url(
        "client",
        "localhost",
        &format!("sslmode=verify-full&sslrootcert={authority}&sslcert={certificate}&sslkey={key}"),
    );
    let redis = format!("rediss://localhost:{}?ssl_ca_certs={authority}", secured.redis_port);
    let start = |name: &str, binary: &str, args: &[&str]| {
        let address = format!("127.0.0.1:{}", free_port().expect("a port"));
        let args: Vec<&str> = args.iter().copied().chain(["--listen", &address]).collect();
        let program =
            Program::start(name, Path::new(binary), &args, &[], secured.stage.path()).expect(name);
        (program, address)
    };
    let programs = [
        start("order-api", program("order-api"), &["--postgres-url", &postgres]),
        start(
            "order-consumer",
            program("order-consumer"),
            &["--postgres-url", &postgres, "--redis-url", &redis],
        ),
    ];
    for (program, address) in &programs {
        let url = format!("http://{address}/readyz");
        let ready = eventually(LIMIT, "readiness", async || {
            reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success())
        });
        assert!(ready.await.is_ok(), "{}: {}", program.name(), program.log_tail());
    }
}
