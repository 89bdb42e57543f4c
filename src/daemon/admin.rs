//! The admin endpoint: probes and metrics, on loopback unless told otherwise.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::observe::metrics::{Metrics, OutboxState};
use crate::observe::outboxes::Outboxes;
use crate::relay::hold::Hold;
use crate::relay::pause::Pause;
use outflow_core::escape;
use outflow_core::fault::Fault;
use outflow_service::http::{self, Purpose};

/// Of a line that tells of a pause.
const PAUSE_CHARS: usize = 1_000;

/// What the endpoint shows.
#[derive(Clone)]
pub struct Admin {
    /// The series.
    pub metrics: Metrics,
    /// The outboxes.
    pub outboxes: Outboxes,
    /// When the relay was started.
    pub started: Instant,
    /// Cancelled when a drain begins: not ready any more.
    pub stop: CancellationToken,
}

/// Opens the port, so that a taken one is a clear error before anything else starts.
///
/// # Errors
/// The address and why it cannot be listened on.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Fault> {
    let refused = |error: io::Error| {
        Fault::failed(format!("admin.listen: {address}: {error}")).because(error)
    };
    TcpListener::bind(address).await.map_err(refused)
}

/// Serves until `closed`.
pub async fn serve(listener: TcpListener, admin: Admin, closed: CancellationToken) {
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .with_state(admin);
    // Cut-off probes are no error.
    let _ = http::serve(listener, Purpose::Probes, routes, closed).await;
}

/// Alive as long as every loop makes progress. Never asks the databases: a relay that waits for one
/// is alive, and starting it again would not help.
async fn livez(State(admin): State<Admin>) -> Response {
    let stalled = |state: &OutboxState| {
        let seconds = state.stalled_seconds?;
        Some(format!("{}: no progress for {seconds} s\n", state.outbox))
    };
    answer(&admin.outboxes.state().iter().filter_map(stalled).collect::<String>())
}

/// Ready when every outbox can deliver or stands by; else the causes, one a line. `?verbose` has a
/// line for each.
async fn readyz(State(admin): State<Admin>, uri: Uri) -> Response {
    if admin.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    let state = admin.outboxes.state();
    let problem = |state: &OutboxState| {
        let (problem, seconds) = (state.problem.as_ref()?, state.problem_seconds?);
        Some(format!("{}: {problem} (for {seconds} s)\n", state.outbox))
    };
    let problems: String = state.iter().filter_map(problem).collect();
    if uri.query().is_none_or(|query| !query.starts_with("verbose")) {
        return answer(&problems);
    }
    let lines = state.iter().map(|state| {
        let outbox = problem(state).unwrap_or_else(|| format!("{}: ok\n", state.outbox));
        outbox + &pauses(state) + &held(state)
    });
    let code = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, escape::lines(&lines.collect::<String>())).into_response()
}

/// A line for each pause. Paused is ready: it delivers as soon as it is resumed.
fn pauses(state: &OutboxState) -> String {
    let line = |pause: &Pause| {
        let stream = pause.stream.as_ref().map(|stream| format!("stream {stream} "));
        let text = format!("{}paused {pause}", stream.unwrap_or_default());
        format!("{}: {}\n", state.outbox, escape::printable(&text, PAUSE_CHARS))
    };
    state.paused.iter().map(line).collect()
}

/// A line for each reason to wait. One that waits is ready: it delivers as soon as there is room.
fn held(state: &OutboxState) -> String {
    let line =
        |hold: &Hold| format!("{}: waits since {:.0}: {}\n", state.outbox, hold.since, hold.why);
    state.holds.iter().map(line).collect()
}

fn answer(problems: &str) -> Response {
    if problems.is_empty() {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, escape::lines(problems)).into_response()
    }
}

/// Everything that this process knows of its outboxes.
async fn status(State(admin): State<Admin>) -> Response {
    let status = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": admin.started.elapsed().as_secs(),
        "draining": admin.stop.is_cancelled(),
        "config_problem": admin.metrics.reloads().problem(),
        "outboxes": admin.outboxes.state(),
    });
    ([(header::CONTENT_TYPE, "application/json")], escape::json(&status.to_string()))
        .into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    admin.outboxes.show_holds();
    match admin.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What listens on every address is asked on loopback.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listen.port()).into(),
        IpAddr::V4(_) | IpAddr::V6(_) => listen,
    }
}
