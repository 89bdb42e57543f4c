//! The admin endpoint: probes and metrics, on loopback unless told otherwise.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Health, Metrics};

/// What the endpoint shows.
#[derive(Clone)]
pub struct Admin {
    /// The series.
    pub metrics: Metrics,
    /// Each outbox's name and how it stands.
    pub health: Vec<(String, Health)>,
    /// Cancelled when a drain begins: not ready any more.
    pub stop: CancellationToken,
}

/// Opens the port, so that a taken one is a clear error before anything else starts.
///
/// # Errors
/// The address and why it cannot be listened on.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("admin.listen: {address}: {error}"))
}

/// Serves until `closed`.
pub async fn serve(listener: TcpListener, admin: Admin, closed: CancellationToken) {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(admin);
    let served = axum::serve(listener, routes).with_graceful_shutdown(closed.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the admin endpoint has ended");
    }
}

/// Ready when every outbox can deliver or stands by; else the causes, one a line.
async fn readyz(State(admin): State<Admin>) -> Response {
    if admin.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let problems: Vec<String> = admin
        .health
        .iter()
        .filter_map(|(name, health)| {
            let (problem, since) = health.problem()?;
            Some(format!("{name}: {problem} (for {} s)\n", since.as_secs()))
        })
        .collect();
    if problems.is_empty() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, problems.concat()).into_response()
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
