//! Serving HTTP until asked to stop.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests in hand may take once a stop was asked for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

/// Why serving ended otherwise than by being asked to, or not cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Accepting connections failed.
    #[error("cannot serve: {0}")]
    Serve(#[from] std::io::Error),
    /// Requests were cut off.
    #[error("requests in hand took more than {} s to finish", DRAIN_TIMEOUT.as_secs())]
    Drain,
}

/// Listens on an address; port 0 takes any free one. The log says which.
///
/// # Errors
/// [`ServeError::Listen`].
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    let listener = TcpListener::bind(address).await.map_err(|error| ServeError::Listen(address, error))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    Ok(listener)
}

/// Serves until `stop` is cancelled, then finishes the requests in hand.
///
/// # Errors
/// See [`ServeError`].
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> Result<(), ServeError> {
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        ended = serving.into_future() => Ok(ended?),
        () = overdue => Err(ServeError::Drain),
    }
}
