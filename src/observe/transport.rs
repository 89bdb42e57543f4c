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

use outflow_connect::tls::Names;

/// How long a look may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);
/// Postgres's request for TLS: length 8, code 80877103.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
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

pub(crate) struct Seen {
    pub(crate) peer: SocketAddr,
    /// `None`: plain text.
    pub(crate) tls: Option<Secured>,
}

pub(crate) struct Secured {
    pub(crate) version: String,
    pub(crate) cipher: String,
    pub(crate) until: Option<Timestamp>,
}

/// Until when the server's certificate is valid; `None` if that cannot be found out, or without
/// TLS.
pub(crate) async fn expiry(route: &Route<'_>) -> Option<Timestamp> {
    tokio::time::timeout(LIMIT, look(route)).await.ok()?.ok()?.tls?.until
}

pub(crate) async fn look(route: &Route<'_>) -> std::io::Result<Seen> {
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
    let until = certificate.as_ref().and_then(until);
    let version = shown(session.protocol_version().map(|version| format!("{version:?}")));
    let cipher =
        shown(session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())));
    Ok(Seen { peer, tls: Some(Secured { version: version.replace("v1_", " 1."), cipher, until }) })
}

/// The last moment at which a certificate is valid.
pub(crate) fn until(certificate: &Certificate) -> Option<Timestamp> {
    let seconds = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
