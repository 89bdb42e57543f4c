//! Over what a server is reached: plain text or TLS, which version, and until when its certificate
//! is valid. Looked at on a connection of its own, since neither client tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{Findings, advice};
use outflow_connect::tls::{self, Names};
use outflow_core::words::plain_end;

const LIMIT: Duration = Duration::from_secs(5);
/// A certificate that is valid for less than this is soon a matter for the night.
const RENEWED_BEFORE: Duration = Duration::from_hours(14 * 24);
/// Postgres's request for TLS: length 8, code 80877103.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
const SSL_YES: u8 = b'S';

/// A server, and how it is to be reached.
pub(crate) struct Route<'a> {
    pub(crate) about: &'static str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// What TLS is made with; `None`: plain text.
    pub(crate) tls: Option<&'a ClientConfig>,
    /// Whether the server is asked first whether it speaks TLS, as Postgres is.
    pub(crate) asks_first: bool,
    /// Whether the certificate's authority is verified.
    pub(crate) is_verified: bool,
    pub(crate) names: Names,
    /// What makes it safe.
    pub(crate) remedy: &'static str,
}

struct Seen {
    peer: SocketAddr,
    /// `None`: plain text.
    tls: Option<Secured>,
}

struct Secured {
    version: String,
    cipher: String,
    until: Option<Timestamp>,
}

/// Tells; `false` when TLS does not come about, so that nothing further need be tried. Who cannot
/// be reached at all is found by others.
pub(super) async fn check(route: &Route<'_>, findings: &mut Findings) -> bool {
    let place = format!("{}:{}", route.host, route.port);
    let seen = match tokio::time::timeout(LIMIT, look(route)).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            let text = error.to_string();
            let Some(explained) = tls::explain(&text, &route.names) else { return true };
            let (what, remedy) = super::split(&explained);
            findings.error(
                route.about,
                format!("{place}: {what} ({})", plain_end(&text)),
                advice(remedy),
            );
            return false;
        }
        Err(_elapsed) => return true,
    };
    tell(route, &place, seen, findings);
    true
}

fn tell(route: &Route<'_>, place: &str, seen: Seen, findings: &mut Findings) {
    let is_near = seen.peer.ip().is_loopback();
    match seen.tls {
        None if is_near => {
            findings.ok(route.about, format!("{place} is reached in plain text, on this machine"));
        }
        None => {
            let what = format!(
                "{place} is reached in plain text: who is in between can read passwords and events"
            );
            findings.warning(route.about, what, advice(route.remedy));
        }
        Some(secured) => {
            secured.tell(route, place, findings);
            if !route.is_verified && !is_near {
                let what = format!(
                    "{place}: its certificate is not verified: it may be somebody in between"
                );
                findings.warning(route.about, what, advice(route.remedy));
            }
        }
    }
}

impl Secured {
    fn tell(&self, route: &Route<'_>, place: &str, findings: &mut Findings) {
        let Self { version, cipher, until } = self;
        let until_text =
            until.map(|until| format!(", certificate valid until {until:.0}")).unwrap_or_default();
        let what = format!("{place} is reached over {version} ({cipher}){until_text}");
        match until {
            Some(until) if *until < Timestamp::now() + RENEWED_BEFORE => {
                findings.warning(route.about, what, advice("renew the server's certificate"));
            }
            _ => findings.ok(route.about, what),
        }
    }
}

/// Until when the server's certificate is valid; `None` if that cannot be found out, or without
/// TLS.
pub(crate) async fn expiry(route: &Route<'_>) -> Option<Timestamp> {
    tokio::time::timeout(LIMIT, look(route)).await.ok()?.ok()?.tls?.until
}

async fn look(route: &Route<'_>) -> std::io::Result<Seen> {
    let mut stream = TcpStream::connect((route.host, route.port)).await?;
    let peer = stream.peer_addr()?;
    let Some(config) = route.tls else { return Ok(Seen { peer, tls: None }) };
    if route.asks_first {
        stream.write_all(&SSL_REQUEST).await?;
        if stream.read_u8().await? != SSL_YES {
            return Ok(Seen { peer, tls: None });
        }
    }
    let name = ServerName::try_from(route.host.to_owned()).map_err(std::io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config.clone())).connect(name, stream).await?;
    let session = stream.get_ref().1;
    let shown = |part: Option<String>| part.unwrap_or_else(|| "unknown".to_owned());
    let certificate =
        session.peer_certificates().and_then(|chain| Certificate::from_der(chain.first()?).ok());
    let until = certificate.as_ref().and_then(crate::certificates::until);
    let version = shown(session.protocol_version().map(|version| format!("{version:?}")));
    let cipher =
        shown(session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())));
    Ok(Seen { peer, tls: Some(Secured { version: version.replace("v1_", " 1."), cipher, until }) })
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// Over a network, plain text and a certificate that nobody verifies are warned of; on this
    /// machine they are fine.
    #[test]
    fn what_goes_over_a_network_must_be_safe() {
        let secured = || {
            let until = Some(Timestamp::now() + RENEWED_BEFORE * 2);
            Some(Secured { version: "TLS 1.3".to_owned(), cipher: "AES".to_owned(), until })
        };
        let table = [
            ("127.0.0.1:5432", None, false, Level::Ok, "on this machine"),
            ("10.0.0.1:5432", None, false, Level::Warning, "in plain text"),
            ("[fd00::1]:5432", None, false, Level::Warning, "in plain text"),
            ("127.0.0.1:5432", secured(), false, Level::Ok, "TLS 1.3"),
            ("10.0.0.1:5432", secured(), false, Level::Warning, "not verified"),
            ("10.0.0.1:5432", secured(), true, Level::Ok, "certificate valid until"),
        ];
        let count = table.len();
        for (peer, tls, is_verified, level, words) in table {
            let names = outflow_connect::postgres::NAMES;
            let route = Route {
                about: "postgres",
                host: "db",
                port: 5432,
                tls: None,
                asks_first: true,
                is_verified,
                names,
                remedy: "do this",
            };
            let mut findings = Findings::default();
            tell(
                &route,
                "db:5432",
                Seen { peer: peer.parse().expect("an address"), tls },
                &mut findings,
            );
            assert_eq!(findings.level(), level, "{peer}: {:?}", findings.list());
            assert!(
                findings.list().iter().any(|one| one.what.contains(words)),
                "{peer}: {:?}",
                findings.list()
            );
        }
        assert_eq!(count, 6);
    }
}
