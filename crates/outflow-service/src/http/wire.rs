//! What HTTP is spoken over: plain TCP, or TLS with a certificate that may be renewed meanwhile.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::{Accept, TlsAcceptor};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Asked at each connection.
type Current = dyn Fn() -> Arc<ServerConfig> + Send + Sync;

/// What is spoken over.
#[derive(Clone)]
pub enum Wire {
    /// Plain TCP.
    Plain,
    /// TLS, with what this returns.
    Tls(Arc<Current>),
}

/// What comes before the first request.
pub(super) enum Handshake {
    None(TcpStream),
    Tls(Box<Accept<TcpStream>>),
}

impl Wire {
    pub(super) fn handshake(&self, stream: TcpStream) -> Handshake {
        match self {
            Self::Plain => Handshake::None(stream),
            Self::Tls(current) => {
                Handshake::Tls(Box::new(TlsAcceptor::from(current()).accept(stream)))
            }
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls(_) => "Tls",
        })
    }
}
