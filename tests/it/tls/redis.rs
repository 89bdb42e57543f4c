//! Redis over TLS: authority and host name are verified always.

use outflow_connect::redis::{Args, NAMES, Redis};
use outflow_connect::tls::{self, Files, Verify};
use outflow_local::{Program, eventually, find, free_port};
use secrecy::SecretString;

use super::stage::Secured;
use crate::support::{Identity, LIMIT, Valid};

/// Waits until a PING is answered, or until it is not for a reason that has these words.
async fn pings(url: &str, expected: Result<(), &str>) {
    let redis = Redis::open(&SecretString::from(url), "test").expect("an address");
    let mut last = String::new();
    let seen = eventually(LIMIT, "an answer", async || {
        match (redis.call("PING", Args::default()).await, expected) {
            (Ok(_), Ok(())) => true,
            (Err(failure), Err(words)) => {
                last = failure.to_string();
                last.contains(words)
            }
            (Ok(_), Err(words)) => panic!("{url}: an answer, expected {words}"),
            (Err(failure), Ok(())) => {
                last = failure.to_string();
                false
            }
        }
    });
    let seen = seen.await;
    assert!(seen.is_ok(), "{url}: {expected:?}, but {last}");
}

fn parameters(secured: &Secured, identity: &Identity) -> String {
    format!(
        "ssl_ca_certs={}&ssl_certfile={}&ssl_keyfile={}",
        secured.authority.file.display(),
        identity.certificate.display(),
        identity.key.display()
    )
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_falls_back_to_plain_text() {
    let secured = Secured::new().await;
    let (ours, others) = (secured.authority.file.display(), secured.stranger.file.display());
    let port = secured.redis_port;
    let place = format!("127.0.0.1:{port}");
    pings(&format!("rediss://{place}?ssl_ca_certs={ours}"), Ok(())).await;
    pings(&format!("rediss://localhost:{port}?ssl_ca_certs={ours}"), Ok(())).await;
    let words =
        format!("{place}/0: the server's certificate is signed by nobody who is trusted here");
    pings(&format!("rediss://{place}?ssl_ca_certs={others}"), Err(&words)).await;
    // The other port speaks plain text.
    let plain = secured.stage.redis.port();
    pings(
        &format!("rediss://127.0.0.1:{plain}?ssl_ca_certs={ours}"),
        Err("does not speak TLS on this port"),
    )
    .await;

    secured
        .serve_redis(&secured.authority.sign("elsewhere", &["cache.example"], Valid::Now), "no")
        .await;
    pings(
        &format!("rediss://{place}?ssl_ca_certs={ours}"),
        Err("is for another name; let the url have"),
    )
    .await;
    let hosts = ["localhost", "127.0.0.1"];
    secured.serve_redis(&secured.authority.sign("old", &hosts, Valid::NoMore), "no").await;
    pings(&format!("rediss://{place}?ssl_ca_certs={ours}"), Err("has expired; renew it")).await;
}

/// For certificates that do not lie in files. Beside them an address in plain text is a mistake.
#[tokio::test]
async fn the_callers_own_settings_replace_those_of_the_address() {
    let secured = Secured::new().await;
    let with = |authority: &std::path::Path| {
        let files = Files { authorities: Some(authority.to_owned()), ..Files::default() };
        tls::client(Verify::AuthorityAndName, &files, &NAMES).expect("settings")
    };
    let place = format!("127.0.0.1:{}", secured.redis_port);
    let url = SecretString::from(format!("rediss://{place}"));
    let ours = with(&secured.authority.file);
    let redis = Redis::open_with_tls(&url, ours.clone(), "test").expect("an address");
    let another = redis.another("another").expect("the same address");
    for redis in [&redis, &another] {
        redis.ready(LIMIT).await.expect("a connection");
        redis.call("PING", Args::default()).await.expect("an answer");
    }
    let others = with(&secured.stranger.file);
    let redis = Redis::open_with_tls(&url, others, "test").expect("an address");
    let mut last = String::new();
    let refused = eventually(LIMIT, "a refusal", async || {
        let answer = redis.call("PING", Args::default()).await;
        last = answer.expect_err("no connection").to_string();
        last.contains("signed by nobody who is trusted here")
    });
    refused.await.expect("in time");
    let plain = SecretString::from(format!("redis://{place}"));
    let refused = Redis::open_with_tls(&plain, ours, "test").expect_err("plain text");
    assert!(refused.to_string().contains("rediss://"), "{refused}");
}

/// To the sentinels as to the master.
#[tokio::test]
async fn sentinels_and_their_master_speak_tls() {
    let secured = Secured::new().await;
    let identity = secured.authority.sign("sentinel", &["127.0.0.1"], Valid::Now);
    let (port, ours) = (free_port().expect("a port"), secured.authority.file.display());
    let config = format!(
        "port 0\ntls-port {port}\nbind 127.0.0.1\ntls-cert-file {}\ntls-key-file \
            {}\ntls-ca-cert-file {ours}\n\
         tls-auth-clients no\ntls-replication yes\nsentinel monitor orders 127.0.0.1 {} 1\n",
        identity.certificate.display(),
        identity.key.display(),
        secured.redis_port
    );
    std::fs::write(secured.stage.path().join("sentinel.conf"), config).expect("a file");
    let server = find("redis-server").expect("Redis");
    let args = ["sentinel.conf", "--sentinel"];
    let _sentinel =
        Program::start("sentinel", &server, &args, &[], secured.stage.path()).expect("a sentinel");
    let url = format!("rediss-sentinel://127.0.0.1:{port}?service_name=orders");
    pings(&format!("{url}&ssl_ca_certs={ours}"), Ok(())).await;
    let others = secured.stranger.file.display();
    pings(&format!("{url}&ssl_ca_certs={others}"), Err("signed by nobody who is trusted here"))
        .await;
    let check = format!("{url}&ssl_ca_certs={ours}");
    let check = secured.stage.asked_with(&["check"], &[("OUTFLOW_REDIS__URL", &check)]).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    assert!(
        check.stdout.contains("user default has the permissions that the relay needs"),
        "{}",
        check.stdout
    );
}

#[tokio::test]
async fn a_client_shows_its_own_certificate_and_is_a_user_of_the_acl() {
    let secured = Secured::new().await;
    let server = secured.authority.sign("strict", &["localhost", "127.0.0.1"], Valid::Now);
    secured.serve_redis(&server, "yes").await;
    secured
        .stage
        .command(
            "ACL",
            &["SETUSER", "relay", "on", ">hun ter2", "+ping", "+client|setname", "+client|id"],
        )
        .await;
    let ours = secured.authority.sign("client", &[], Valid::Now);
    let port = secured.redis_port;
    let user = "relay:hun%20ter2";
    pings(&format!("rediss://{user}@127.0.0.1:{port}?{}", parameters(&secured, &ours)), Ok(()))
        .await;
    let none = format!(
        "rediss://{user}@127.0.0.1:{port}?ssl_ca_certs={}",
        secured.authority.file.display()
    );
    pings(&none, Err("asks for a client certificate; let ssl_certfile and ssl_keyfile name ours"))
        .await;
    let others = secured.stranger.sign("impostor", &[], Valid::Now);
    let wrong = format!("rediss://{user}@127.0.0.1:{port}?{}", parameters(&secured, &others));
    pings(&wrong, Err("the server refuses our certificate")).await;
    let password = format!("rediss://relay:wrong@127.0.0.1:{port}?{}", parameters(&secured, &ours));
    pings(&password, Err("WRONGPASS")).await;
}
