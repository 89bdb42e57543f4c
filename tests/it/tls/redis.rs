//! Redis over TLS: authority and host name are verified always.

use outflow::local::eventually;
use outflow::redis::{Args, Redis};
use secrecy::SecretString;

use super::stage::Secured;
use crate::support::{Identity, LIMIT, Valid};

/// Waits until a PING is answered, or until it is not for a reason that has these words.
async fn pings(url: &str, expected: Result<(), &str>) {
    let redis = Redis::open(&SecretString::from(url), "test").expect("an address");
    let mut last = String::new();
    let seen = eventually(LIMIT, "an answer", async || match (redis.call("PING", Args::default()).await, expected) {
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
    let words = format!("{place}/0: the server's certificate is signed by nobody who is trusted here");
    pings(&format!("rediss://{place}?ssl_ca_certs={others}"), Err(&words)).await;
    // The other port speaks plain text.
    let plain = secured.stage.redis.port();
    pings(&format!("rediss://127.0.0.1:{plain}?ssl_ca_certs={ours}"), Err("does not speak TLS on this port")).await;

    secured.serve_redis(&secured.authority.sign("elsewhere", &["cache.example"], Valid::Now), "no").await;
    pings(&format!("rediss://{place}?ssl_ca_certs={ours}"), Err("is for another name; let the url have")).await;
    let hosts = ["localhost", "127.0.0.1"];
    secured.serve_redis(&secured.authority.sign("old", &hosts, Valid::NoMore), "no").await;
    pings(&format!("rediss://{place}?ssl_ca_certs={ours}"), Err("has expired; renew it")).await;
}

#[tokio::test]
async fn a_client_shows_its_own_certificate_and_is_a_user_of_the_acl() {
    let secured = Secured::new().await;
    let server = secured.authority.sign("strict", &["localhost", "127.0.0.1"], Valid::Now);
    secured.serve_redis(&server, "yes").await;
    secured
        .stage
        .command("ACL", &["SETUSER", "relay", "on", ">hun ter2", "+ping", "+client|setname", "+client|id"])
        .await;
    let ours = secured.authority.sign("client", &[], Valid::Now);
    let port = secured.redis_port;
    let user = "relay:hun%20ter2";
    pings(&format!("rediss://{user}@127.0.0.1:{port}?{}", parameters(&secured, &ours)), Ok(())).await;
    let none = format!("rediss://{user}@127.0.0.1:{port}?ssl_ca_certs={}", secured.authority.file.display());
    pings(&none, Err("asks for a client certificate; let ssl_certfile and ssl_keyfile name ours")).await;
    let others = secured.stranger.sign("impostor", &[], Valid::Now);
    let wrong = format!("rediss://{user}@127.0.0.1:{port}?{}", parameters(&secured, &others));
    pings(&wrong, Err("the server refuses our certificate")).await;
    let password = format!("rediss://relay:wrong@127.0.0.1:{port}?{}", parameters(&secured, &ours));
    pings(&password, Err("WRONGPASS")).await;
}
