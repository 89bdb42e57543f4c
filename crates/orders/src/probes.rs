//! `/livez`, `/readyz` and `/metrics`, the same for both companions.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use prometheus::{Registry, TextEncoder};

use super::problem::Problem;

/// The three routes. `unready` says why work cannot be done at the moment; nothing means that it
/// can.
pub fn router<F>(registry: Registry, unready: F) -> Router
where
    F: Fn() -> BoxFuture<'static, Vec<String>> + Clone + Send + Sync + 'static,
{
    let readyz = move || {
        let causes = unready();
        async move { readiness(&causes.await) }
    };
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(async move || exposition(&registry)))
}

/// A registry that has this process's memory, CPU and file descriptors.
pub fn registry() -> Registry {
    let registry = Registry::new();
    // Refused only if it was registered before.
    let _ =
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
    registry
}

fn readiness(causes: &[String]) -> Response {
    if causes.is_empty() {
        return "ready\n".into_response();
    }
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, causes.join("; ")).into_response()
}

fn exposition(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static(prometheus::TEXT_FORMAT))], text)
                .into_response()
        }
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
