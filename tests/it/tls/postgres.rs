//! Postgres over TLS, as libpq means it.

use outflow_connect::postgres;
use secrecy::SecretString;

use super::stage::Secured;
use crate::support::Valid;

/// Whether the session is encrypted, or why there is none.
async fn reached(url: &str) -> Result<bool, String> {
    let server =
        postgres::server(&SecretString::from(url), "test").map_err(|error| error.to_string())?;
    let (client, connection) =
        server.connect().await.map_err(|error| postgres::describe(&error))?;
    tokio::spawn(connection);
    let row =
        client.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await;
    Ok(row.map_err(|error| postgres::describe(&error))?.get(0))
}

const TLS: Result<bool, &str> = Ok(true);
const PLAIN: Result<bool, &str> = Ok(false);

async fn check(secured: &Secured, what: &str, table: &[(&str, &str, Result<bool, &str>)]) {
    let (ours, others) =
        (secured.authority.file.display().to_string(), secured.stranger.file.display().to_string());
    for (host, parameters, expected) in table {
        let parameters = parameters.replace("OURS", &ours).replace("OTHERS", &others);
        let outcome = reached(&secured.postgres_url("postgres", host, &parameters)).await;
        match (&outcome, expected) {
            (Ok(is_tls), Ok(expected)) => assert_eq!(is_tls, expected, "{what}: {parameters}"),
            (Err(error), Err(words)) => {
                assert!(error.contains(words), "{what}: {parameters}: {error}");
            }
            _ => panic!("{what}: {host}, {parameters}: {outcome:?}, expected {expected:?}"),
        }
    }
}

#[tokio::test]
async fn each_mode_accepts_what_libpq_accepts() {
    let secured = Secured::new().await;
    let near = "127.0.0.1";
    let good = [
        (near, "sslmode=disable", PLAIN),
        (near, "", TLS),
        (near, "sslmode=prefer", TLS),
        (near, "sslmode=require", TLS),
        (near, "sslmode=require&sslrootcert=OURS", TLS),
        (
            near,
            "sslmode=require&sslrootcert=OTHERS",
            Err("let sslrootcert name its authority's certificate"),
        ),
        (near, "sslmode=verify-ca&sslrootcert=OURS", TLS),
        (near, "sslmode=verify-ca&sslrootcert=OTHERS", Err("signed by nobody who is trusted here")),
        (near, "sslmode=verify-full&sslrootcert=OURS", TLS),
        ("localhost", "sslmode=verify-full&sslrootcert=OURS", TLS),
        (
            near,
            "sslmode=verify-full&sslrootcert=OTHERS",
            Err("signed by nobody who is trusted here"),
        ),
        (
            near,
            "sslmode=verify-full&sslrootcert=/nowhere",
            Err("sslrootcert: /nowhere: there is no such file"),
        ),
    ];
    check(&secured, "a good certificate", &good).await;

    secured.serve_postgres(&secured.authority.sign("elsewhere", &["db.example"], Valid::Now)).await;
    let other_name = [
        (near, "sslmode=require", TLS),
        (near, "sslmode=verify-ca&sslrootcert=OURS", TLS),
        (
            near,
            "sslmode=verify-full&sslrootcert=OURS",
            Err("is for another name; let the url have the name"),
        ),
        ("localhost", "sslmode=verify-full&sslrootcert=OURS", Err("db.example")),
    ];
    check(&secured, "another host's certificate", &other_name).await;

    let hosts = ["localhost", "127.0.0.1"];
    secured.serve_postgres(&secured.authority.sign("old", &hosts, Valid::NoMore)).await;
    let expired = [
        (near, "sslmode=require", TLS),
        (near, "sslmode=verify-ca&sslrootcert=OURS", Err("has expired; renew it")),
        (near, "sslmode=verify-full&sslrootcert=OURS", Err("has expired; renew it")),
    ];
    check(&secured, "an expired certificate", &expired).await;
    secured.serve_postgres(&secured.authority.sign("early", &hosts, Valid::NotYet)).await;
    check(
        &secured,
        "an early one",
        &[(near, "sslmode=verify-full&sslrootcert=OURS", Err("compare the clocks"))],
    )
    .await;

    secured.without_tls().await;
    let plain = [
        (near, "sslmode=disable", PLAIN),
        (near, "sslmode=prefer", PLAIN),
        (near, "sslmode=require", Err("does not offer TLS there; switch TLS on in the server")),
        (near, "sslmode=verify-ca&sslrootcert=OURS", Err("does not offer TLS there")),
        (near, "sslmode=verify-full&sslrootcert=OURS", Err("does not offer TLS there")),
    ];
    check(&secured, "a server without TLS", &plain).await;
    assert_eq!((good.len(), other_name.len(), expired.len(), plain.len()), (12, 4, 3, 5));
}

#[tokio::test]
async fn a_client_shows_its_own_certificate_where_it_must() {
    let secured = Secured::new().await;
    let ours = secured.authority.sign("client", &[], Valid::Now);
    let others = secured.stranger.sign("impostor", &[], Valid::Now);
    let parameters = |identity: &crate::support::Identity| {
        format!(
            "sslmode=require&sslcert={}&sslkey={}",
            identity.certificate.display(),
            identity.key.display()
        )
    };
    let url = |parameters: &str| secured.postgres_url("client", "127.0.0.1", parameters);
    assert_eq!(reached(&url(&parameters(&ours))).await, Ok(true));
    let none = reached(&url("sslmode=require")).await.expect_err("no certificate");
    assert!(none.contains("let sslcert and sslkey name ours"), "{none}");
    let wrong = reached(&url(&parameters(&others))).await.expect_err("a stranger's certificate");
    assert!(wrong.contains("the server refuses our certificate"), "{wrong}");
    let mixed = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        ours.certificate.display(),
        others.key.display()
    );
    let mixed = reached(&url(&mixed)).await.expect_err("two that do not fit");
    assert!(mixed.contains("sslcert and sslkey do not fit together"), "{mixed}");
    std::fs::set_permissions(&ours.key, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("a mode");
    let open = reached(&url(&parameters(&ours))).await.expect_err("a key that all can read");
    assert!(open.contains("sslkey: ") && open.contains("chmod o-rwx"), "{open}");
}

/// SCRAM bound to the TLS session: nobody in between can pass the exchange on.
#[tokio::test]
async fn channel_binding_can_be_asked_for() {
    let secured = Secured::new().await;
    let url = |parameters: &str| secured.postgres_url("scram:hunter2", "127.0.0.1", parameters);
    assert_eq!(reached(&url("sslmode=require&channel_binding=require")).await, Ok(true));
    let plain = reached(&url("sslmode=disable&channel_binding=require"))
        .await
        .expect_err("nothing to bind to");
    assert!(plain.contains("channel") && !plain.contains("hunter2"), "{plain}");
}
