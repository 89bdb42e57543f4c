//! What every request goes through: an id, its trace, limits on time and on how many there are, and
//! the metrics.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::body;
use super::metrics::Metrics;
use super::problem::Problem;
use super::trace::Trace;

/// How long a request may take once its body is there.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_ID: &str = "x-request-id";
const REQUEST_ID_CHARS_MAX: usize = 128;

/// What the requests share.
#[derive(Debug, Clone)]
pub(super) struct Observer {
    metrics: Metrics,
    /// Requests that may be under way.
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Observer {
    pub(super) fn new(metrics: Metrics, requests_max: usize, stop: CancellationToken) -> Self {
        Self { metrics, room: Arc::new(Semaphore::new(requests_max)), stop }
    }
}

/// Names, times, limits, counts and logs a request. The answer says the request's id, the caller's
/// own if it sent one.
pub(super) async fn observe(
    State(observer): State<Observer>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let id = request_id(request.headers());
    let trace = Trace::of(request.headers());
    let span =
        tracing::info_span!("request", %method, route, request_id = %id, trace_id = trace.id());
    request.extensions_mut().insert(trace);
    let answering = async {
        // First, so that a slow client takes nothing that others need.
        let request = match body::read(request, &observer.stop).await {
            Ok(request) => request,
            Err(refused) => return refused,
        };
        // Probes must get through whatever else is going on.
        let _room = match observer.room.try_acquire() {
            Ok(room) => Some(room),
            Err(_full) if route.starts_with("/orders") => {
                return Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many requests at once; nothing was changed",
                )
                .into_response();
            }
            Err(_full) => None,
        };
        match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_elapsed) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "no result within {} s; a change may have been made or not",
                    REQUEST_TIMEOUT.as_secs()
                ),
            )
            .into_response(),
        }
    };
    let mut response = answering.instrument(span.clone()).await;
    let took = started.elapsed();
    span.in_scope(|| {
        tracing::debug!(status = response.status().as_u16(), ms = took.as_millis(), "answered");
    });
    observer.metrics.answered(&method, &route, response.status(), took);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The caller's, if it is fit for a log; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let fits = |id: &&str| {
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    sent.filter(fits).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
