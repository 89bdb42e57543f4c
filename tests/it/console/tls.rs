//! The console with a certificate of its own.

use std::path::Path;
use std::sync::Arc;

use outflow_connect::tls::{Files, Names, Verify, client};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{OPERATE, configuration};
use crate::support::{Authority, LIMIT, Stage, Valid, outbox};
use outflow_local::{eventually, free_port};

/// Sends one request over TLS; `None` if there is no connection, or not with that certificate.
async fn asked(port: u16, authority: &Path, request: &str) -> Option<String> {
    let files = Files { authorities: Some(authority.to_owned()), certificate: None, key: None };
    let names = Names { authorities: "ca", certificate: "cert", key: "key" };
    let config = client(Verify::AuthorityAndName, &files, &names).expect("a configuration");
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls_only() {
    let stage = Stage::new(&outbox("")).await;
    let authority = Authority::new(stage.path(), "authority");
    let identity = authority.sign("console", &["localhost"], Valid::Now);
    let files = format!("sslcert = {:?}\nsslkey = {:?}", identity.certificate, identity.key);
    stage.configure(&configuration(&stage, &files));
    let port = free_port().expect("a port");
    let console = stage.outflow("console", &["console", "--listen", &format!("127.0.0.1:{port}")]);
    let body = format!("token={OPERATE}");
    let login = format!(
        "POST /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: \
            application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer =
        eventually(LIMIT, "the console", async || asked(port, &authority.file, &login).await);
    let answer = answer.await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert!(answer.contains("__Host-outflow-console-"), "{answer}");
    assert!(answer.contains("; Secure"), "{answer}");
    // Under the plain name, which another host of the domain could have set, it names nobody.
    let (_, id) = answer.split_once("__Host-outflow-console-").expect("a cookie");
    let (_, id) = id.split_once('=').expect("a value");
    let id = id.split(';').next().expect("an id");
    for (prefix, status) in [("__Host-", "200"), ("", "303")] {
        let get = format!(
            "GET /audit HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: \
                {prefix}outflow-console-{port}={id}\r\n\r\n"
        );
        let answer = asked(port, &authority.file, &get).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{prefix:?}: {answer}");
    }
    assert!(console.log().contains(&format!("https://127.0.0.1:{port}/")), "{}", console.log());
    let plain = reqwest::get(format!("http://127.0.0.1:{port}/login")).await;
    assert!(plain.is_err(), "{plain:?}");
    // A renewed certificate is shown without a restart.
    let next = Authority::new(stage.path(), "next");
    next.sign("console", &["localhost"], Valid::Now);
    let get = "GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let renewed = eventually(LIMIT, "the renewed certificate", async || {
        asked(port, &next.file, get).await.filter(|answer| answer.contains("Log in"))
    });
    renewed.await.expect("in time");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let stage = Stage::new(&outbox("")).await;
    let authority = Authority::new(stage.path(), "authority");
    let one = authority.sign("one", &["localhost"], Valid::Now);
    let two = authority.sign("two", &["localhost"], Valid::Now);
    let nowhere = Path::new("/nowhere.pem");
    for (certificate, key, words) in [
        (nowhere, one.key.as_path(), "console.sslcert: /nowhere.pem: there is no such file"),
        (one.certificate.as_path(), nowhere, "console.sslkey"),
        (one.certificate.as_path(), two.key.as_path(), "do not fit together"),
    ] {
        let files = format!("sslcert = {certificate:?}\nsslkey = {key:?}");
        stage.configure(&configuration(&stage, &files));
        let refused = stage.asked(&["console", "--listen", "127.0.0.1:0"]).await;
        assert_eq!(refused.code, Some(78), "{refused:?}");
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
}
