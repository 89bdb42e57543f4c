//! The order API: its routes, and the answer to each outcome.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::Registry;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::idempotency::Once;
use super::listing::{self, Listing, Page};
use super::metrics::Metrics;
use super::observe::{Observer, observe};
use super::order::Order;
use super::probes;
use super::problem::Problem;
use super::request::{self, BadOrder};
use super::schema::Schema;
use super::store::{Cancelled, Created, Store, StoreError};
use super::trace::Trace;

/// What the API promises, for machines. Kept by hand; tests hold it against the answers.
const OPENAPI: &str = include_str!("openapi.json");
const JSON: &str = "application/json";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Says that an answer is that of an earlier request.
const REPLAYED: &str = "idempotency-replayed";
/// How long a readiness probe waits for Postgres.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

struct Api {
    store: Store,
    metrics: Metrics,
}

/// All routes of the API; with `probes`, those of [`probes()`] beside them.
///
/// # Errors
/// When `registry` has its metrics already.
pub fn router(
    store: Store,
    registry: &Registry,
    requests_max: usize,
    probes: Option<Router>,
    stop: CancellationToken,
) -> Result<Router, prometheus::Error> {
    let metrics = Metrics::new(registry)?;
    let observer = Observer::new(metrics.clone(), requests_max, stop);
    let api = Arc::new(Api { store, metrics });
    Ok(Router::new()
        .route("/orders", get(list).post(create))
        .route("/openapi.json", get(async || ([(header::CONTENT_TYPE, JSON)], OPENAPI)))
        .route("/orders/{id}", get(find))
        .route("/orders/{id}/cancel", post(cancel))
        .with_state(api)
        .merge(probes.unwrap_or_default())
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this address has another method: see the Allow header",
            )
        })
        .layer(middleware::from_fn_with_state(observer, observe)))
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn probes(store: Store, schema: Schema, registry: Registry, stop: CancellationToken) -> Router {
    probes::router(registry, move || {
        let (store, schema, stopping) = (store.clone(), schema.clone(), stop.is_cancelled());
        Box::pin(async move {
            if stopping {
                return vec!["stopping".to_owned()];
            }
            unready(&store, &schema).await.into_iter().collect()
        })
    })
}

async fn create(
    State(api): State<Arc<Api>>,
    Extension(trace): Extension<Trace>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if !is_json(&headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected Content-Type: application/json",
        ));
    }
    if headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "expected a body without a Content-Encoding",
        ));
    }
    let new = request::parse(&body).map_err(refusal)?;
    let once = once(&headers, &body)?;
    match api
        .store
        .create(new, once, trace.event_headers())
        .await
        .map_err(|error| failure(&error))?
    {
        Created::Now(order_id, order) => {
            api.metrics.created.inc();
            Ok(created(&order_id.to_string(), order))
        }
        Created::Before(order) => {
            // Ours, so that it has an id.
            let kept: Value = serde_json::from_str(&order).unwrap_or_default();
            let mut response = created(kept["order_id"].as_str().unwrap_or_default(), order);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            Ok(response)
        }
        Created::OtherBody => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used with another body; a new order wants a new key",
        )),
        Created::InProgress => Err(Problem::new(
            StatusCode::CONFLICT,
            "a request with this Idempotency-Key is in progress; ask again for its result",
        )
        .transient()),
    }
}

fn created(order_id: &str, order: String) -> Response {
    let headers = [
        (header::LOCATION, format!("/orders/{order_id}")),
        (header::CONTENT_TYPE, JSON.to_owned()),
    ];
    (StatusCode::CREATED, headers, order).into_response()
}

/// The idempotency key, if there is one.
fn once<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Option<Once<'a>>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key =
        key.to_str().ok().and_then(|key| Once::new(key, body)).filter(|_| keys.next().is_none());
    let wrong = || {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "Idempotency-Key: expected one, of 1 to 255 visible ASCII characters",
        )
    };
    key.map(Some).ok_or_else(wrong)
}

async fn list(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let listing = Listing::parse(&query.unwrap_or_default()).map_err(Problem::fields)?;
    api.store.list(&listing).await.map(Json).map_err(|error| failure(&error))
}

async fn find(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Order>, Problem> {
    let order = api.store.find(order_id(id)?).await.map_err(|error| failure(&error))?;
    order.map(Json).ok_or_else(no_such_order)
}

async fn cancel(
    State(api): State<Arc<Api>>,
    id: Result<Path<String>, PathRejection>,
    Extension(trace): Extension<Trace>,
) -> Result<Json<Order>, Problem> {
    let outcome = api.store.cancel(order_id(id)?, trace.event_headers()).await;
    match outcome.map_err(|error| failure(&error))? {
        Cancelled::Now(order) => {
            api.metrics.cancelled.inc();
            Ok(Json(order))
        }
        Cancelled::Before(status) => Err(Problem::new(
            StatusCode::CONFLICT,
            format!("the order is {} already", status.name()),
        )),
        Cancelled::Unknown => Err(no_such_order()),
    }
}

/// Why orders cannot be taken at the moment. What Postgres said is for the log: whoever reaches the
/// port can ask.
async fn unready(store: &Store, schema: &Schema) -> Option<String> {
    // Logged where they are created.
    if schema.missing().is_some() {
        return Some(
            "Postgres: the tables of schema orders are not there yet; the log says why".to_owned(),
        );
    }
    match tokio::time::timeout(READY_TIMEOUT, store.check()).await {
        Ok(Ok(())) => None,
        Ok(Err(StoreError::NotMigrated)) => Some(format!("Postgres: {}", StoreError::NotMigrated)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "not ready");
            Some("Postgres: it cannot be used; the log says why".to_owned())
        }
        Err(_elapsed) => Some(format!("Postgres: no answer within {} s", READY_TIMEOUT.as_secs())),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let Some(Ok(kind)) = kind else { return false };
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

/// Anything that is no UUID, or not even text, is the id of no order.
fn order_id(id: Result<Path<String>, PathRejection>) -> Result<Uuid, Problem> {
    let Path(id) = id.map_err(|_not_utf8| no_such_order())?;
    listing::id(&id).ok_or_else(no_such_order)
}

fn no_such_order() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no order of this id")
}

fn refusal(error: BadOrder) -> Problem {
    match error {
        BadOrder::NotJson(at) => {
            Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {at}"))
        }
        BadOrder::Fields(errors) => Problem::fields(errors),
    }
}

/// Callers hear what they can do about it; what Postgres said is for the log.
fn failure(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(cause) => {
            tracing::warn!(%cause, "cannot use Postgres: answered 503");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the database cannot be used at the moment; nothing was changed",
            )
        }
        StoreError::NotMigrated => {
            tracing::warn!("{error}: answered 503");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "this service is not set up yet; nothing was changed",
            )
        }
        StoreError::Unknown(order_id, cause) => {
            tracing::warn!(%order_id, %cause, "Postgres did not confirm a COMMIT: answered 503");
            let detail = format!(
                "the database was lost during the commit: look for /orders/{order_id} before you \
                    try again, or try again with the same Idempotency-Key"
            );
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        }
        StoreError::Broken(cause) => {
            tracing::error!(%cause, "request failed");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "a fault of this service; it is in its log",
            )
        }
    }
}
