//! Serving HTTP, with a limit on everything that a client can hold up: its head, its idle time, its
//! reading, the number of connections. Used by all listeners.
//!
//! Not `axum::serve`, which has no limits and waits at a stop for every connection that has sent
//! half a request.

mod connection;
mod connections;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use connections::Connections;

pub use wire::{Peer, Wire};

/// How long requests in hand may take once a stop was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause after a connection could not be accepted, most likely for want of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A listener has so many connections even where there are few file descriptors.
const CONNECTIONS_MIN: usize = 8;

/// Why serving did not begin, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Requests were cut off.
    #[error("requests in hand took more than {} s to finish", DRAIN_TIMEOUT.as_secs())]
    Drain,
}

/// What a listener is for, which decides how many connections it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Requests of the service itself.
    Requests,
    /// Probes and metrics, which must be answered whatever else is going on.
    Probes,
    /// People with browsers.
    Console,
}

impl Purpose {
    /// Maximum number of connections. All listeners together take at most three quarters of the
    /// file descriptors; the rest is for connections to the servers.
    fn connections_max(self) -> usize {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _hard)| soft);
        let descriptors = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let (most, share) = match self {
            Self::Requests => (1024, descriptors / 2),
            Self::Probes => (64, descriptors / 4),
            Self::Console => (128, descriptors / 4),
        };
        share.clamp(CONNECTIONS_MIN, most)
    }

    /// Requests that may be in hand at once, so that there are connections left to refuse others
    /// on, and for probes.
    pub fn requests_max(self) -> usize {
        let connections = self.connections_max();
        connections - connections / 8
    }
}

/// Listens on an address; port 0 takes any free one.
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))
}

/// Serves until `stop` is cancelled, then finishes the requests in hand. Connections that are idle,
/// or have sent a part of a request's head only, are dropped at the stop, and before it when there
/// is no room for a new one.
///
/// # Errors
/// [`ServeError::Drain`] if requests had to be cut off.
pub async fn serve(
    listener: TcpListener,
    purpose: Purpose,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    serve_over(listener, Wire::Plain, purpose, router, stop).await
}

/// As [`serve`], perhaps with TLS. Each request has its [`Peer`] among its extensions.
///
/// # Errors
/// As [`serve`].
pub async fn serve_over(
    listener: TcpListener,
    wire: Wire,
    purpose: Purpose,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let most = purpose.connections_max();
    let mut connections = Connections::new(most, wire, router, stop.clone());
    loop {
        let (stream, peer) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener) => accepted,
        };
        // Only now: nobody is dropped for the sake of nobody.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = connections.room() => connections.take(stream, peer),
        }
    }
    // Nobody new gets in from here on.
    drop(listener);
    tokio::time::timeout(DRAIN_TIMEOUT, connections.finish())
        .await
        .map_err(|_elapsed| ServeError::Drain)
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // Of this connection only, such as ECONNABORTED; or EMFILE, which passes.
            Err(error) => {
                tracing::debug!(%error, "could not accept a connection: retrying");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
