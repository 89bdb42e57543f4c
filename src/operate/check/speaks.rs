//! What answers where a server should be: a port is easily mixed up, and each client has its own
//! words for bytes that it does not understand. Looked at on connections of their own, without a
//! password.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::observe::transport::SSL_REQUEST;
use outflow_connect::tls::{self, Files, Names, Verify};

/// How long each of the three looks may take.
const LIMIT: Duration = Duration::from_secs(2);
/// To Redis it is a command with too many words.
const QUESTION: &[u8] = b"GET / HTTP/1.0\r\n\r\n";
/// The beginning of an alert: a server with TLS has met something else.
const TLS_ALERT: [u8; 2] = [0x15, 0x03];
const NO_NAMES: Names = Names { authorities: "", certificate: "", key: "" };

/// What answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaks {
    /// Nobody listens.
    Nothing,
    /// Connections are taken, and nothing is said.
    Silence,
    Redis,
    Postgres,
    Http,
    /// TLS, whatever is inside.
    Tls,
    /// Something else.
    Other,
}

impl Speaks {
    /// As it would be called.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nobody",
            Self::Silence => "a server that says nothing",
            Self::Redis => "a Redis server",
            Self::Postgres => "a Postgres server",
            Self::Http => "an HTTP server",
            Self::Tls => "a server that speaks TLS",
            Self::Other => "a server of another kind",
        }
    }
}

pub(super) async fn what(host: &str, port: u16) -> Speaks {
    let Some(answer) = answer(host, port, QUESTION).await else { return Speaks::Nothing };
    match answer.as_slice() {
        [b'+' | b'-' | b'$', ..] => return Speaks::Redis,
        text if text.starts_with(b"HTTP/") => return Speaks::Http,
        text if text.starts_with(&TLS_ALERT) => return Speaks::Tls,
        _ => {}
    }
    let is_silent = answer.is_empty();
    let asked = self::answer(host, port, &SSL_REQUEST).await;
    if asked.is_some_and(|answer| {
        matches!(answer.as_slice(), b"S" | b"N") || answer.starts_with(b"E\0")
    }) {
        return Speaks::Postgres;
    }
    if speaks_tls(host, port).await {
        return Speaks::Tls;
    }
    if is_silent { Speaks::Silence } else { Speaks::Other }
}

/// The first bytes; none if it says nothing or hangs up. `None`: no connection.
async fn answer(host: &str, port: u16, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = timeout(LIMIT, TcpStream::connect((host, port))).await.ok()?.ok()?;
    let mut bytes = vec![0; 64];
    let talk = async {
        stream.write_all(question).await?;
        stream.read(&mut bytes).await
    };
    let read = timeout(LIMIT, talk).await.ok().and_then(Result::ok).unwrap_or(0);
    bytes.truncate(read);
    Some(bytes)
}

async fn speaks_tls(host: &str, port: u16) -> bool {
    let Ok(config) = tls::client(Verify::Nothing, &Files::default(), &NO_NAMES) else {
        return false;
    };
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return false };
    let handshake = async {
        let stream = TcpStream::connect((host, port)).await?;
        TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await
    };
    match timeout(LIMIT, handshake).await {
        Ok(Ok(_)) => true,
        // An alert is TLS as well.
        Ok(Err(error)) => error.to_string().contains("received fatal alert"),
        Err(_elapsed) => false,
    }
}
