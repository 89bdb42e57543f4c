//! The order API: its routes, and the answer to each outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::Registry;
use uuid::Uuid;

use super::metrics::Metrics;
use super::order::Order;
use super::problem::Problem;
use super::request::{self, BadOrder};
use super::schema::Schema;
use super::store::{Cancelled, Store, StoreError};
use super::{probes, trace};

/// The largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a readiness probe waits for Postgres.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

struct Api {
    store: Store,
    metrics: Metrics,
}

/// All routes of the API, its probes included.
///
/// # Errors
/// When `registry` has its metrics already.
pub fn router(store: Store, schema: Schema, registry: Registry) -> Result<Router, prometheus::Error> {
    let metrics = Metrics::new(&registry)?;
    let asked = store.clone();
    let probes = probes::router(registry, move || {
        let (store, schema) = (asked.clone(), schema.clone());
        Box::pin(async move { unready(&store, &schema).await.into_iter().collect() })
    });
    let api = Arc::new(Api { store, metrics });
    Ok(Router::new()
        .route("/orders", post(create))
        .route("/orders/{id}", get(find))
        .route("/orders/{id}/cancel", post(cancel))
        .with_state(Arc::clone(&api))
        .merge(probes)
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address has another method: see the Allow header")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api, observe)))
}

async fn create(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    if !is_json(&headers) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json"));
    }
    let body = body.map_err(|rejection| unread(&rejection))?;
    let new = request::parse(&body).map_err(refusal)?;
    let order = api.store.create(new, trace::event_headers(&headers)).await.map_err(|error| failure(&error))?;
    api.metrics.created.inc();
    let location = format!("/orders/{}", order.order_id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(order)).into_response())
}

async fn find(State(api): State<Arc<Api>>, Path(id): Path<String>) -> Result<Json<Order>, Problem> {
    let order = api.store.find(order_id(&id)?).await.map_err(|error| failure(&error))?;
    order.map(Json).ok_or_else(no_such_order)
}

async fn cancel(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Order>, Problem> {
    let outcome = api.store.cancel(order_id(&id)?, trace::event_headers(&headers)).await;
    match outcome.map_err(|error| failure(&error))? {
        Cancelled::Now(order) => {
            api.metrics.cancelled.inc();
            Ok(Json(order))
        }
        Cancelled::Before(status) => {
            Err(Problem::new(StatusCode::CONFLICT, format!("the order is {} already", status.name())))
        }
        Cancelled::Unknown => Err(no_such_order()),
    }
}

/// Why orders cannot be taken at the moment.
async fn unready(store: &Store, schema: &Schema) -> Option<String> {
    if let Some(cause) = schema.missing() {
        return Some(format!("Postgres: {cause}"));
    }
    match tokio::time::timeout(READY_TIMEOUT, store.check()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("Postgres: {error}")),
        Err(_elapsed) => Some(format!("Postgres: no answer within {} s", READY_TIMEOUT.as_secs())),
    }
}

/// Times, limits and counts every request.
async fn observe(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("no result within {} s; a change may have been made or not", REQUEST_TIMEOUT.as_secs()),
        )
        .into_response(),
    };
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    api.metrics.answered(&method, route, response.status(), started.elapsed());
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let Some(Ok(kind)) = kind else { return false };
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Anything that is no UUID is the id of no order.
fn order_id(text: &str) -> Result<Uuid, Problem> {
    text.parse().map_err(|_| no_such_order())
}

fn no_such_order() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no order of this id")
}

fn unread(rejection: &BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {BODY_BYTES_MAX} bytes"))
        }
        status => Problem::new(status, "the body cannot be read"),
    }
}

fn refusal(error: BadOrder) -> Problem {
    match error {
        BadOrder::NotJson(at) => Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {at}")),
        BadOrder::Fields(errors) => Problem::fields(errors),
    }
}

/// Callers hear what they can do about it; what Postgres said is for the log.
fn failure(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(cause) => {
            tracing::warn!(%cause, "Postgres cannot be used: request refused");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database cannot be used at the moment; nothing was changed",
            )
        }
        StoreError::Unknown(order_id, cause) => {
            tracing::warn!(%order_id, %cause, "no answer to COMMIT");
            let detail =
                format!("the database was lost during the commit: look for /orders/{order_id} before you try again");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
        StoreError::Broken(cause) => {
            tracing::error!(%cause, "request failed");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of this service; it is in its log")
        }
    }
}
