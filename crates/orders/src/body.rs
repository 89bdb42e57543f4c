//! The body of a request, read whole before the request takes anything that others need.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt as _;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;

/// The largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one that has begun may take after a stop was asked for.
const BODY_TIMEOUT_STOPPING: Duration = Duration::from_secs(1);

/// The request with its body in memory, or the answer to one whose body is too large, too slow, or
/// broken off.
pub(super) async fn read(request: Request, stop: &CancellationToken) -> Result<Request, Response> {
    let (head, body) = request.into_parts();
    let bytes = tokio::select! {
        bytes = whole(body) => bytes,
        () = tokio::time::sleep(BODY_TIMEOUT) => {
            let took = format!("the body took more than {} s", BODY_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, took))
        }
        () = stopping(stop) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE,
                "this server stops; nothing was changed"))
        }
    };
    match bytes {
        Ok(bytes) => Ok(Request::from_parts(head, Body::from(bytes))),
        Err(problem) => {
            // What is left of the body is not read any more.
            let mut response = problem.into_response();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            Err(response)
        }
    }
}

async fn whole(body: Body) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {BODY_BYTES_MAX} bytes"),
        )
    };
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let (mut bytes, mut parts) = (Vec::new(), body.into_data_stream());
    loop {
        match parts.try_next().await {
            Ok(Some(part)) if bytes.len() + part.len() > BODY_BYTES_MAX => return Err(too_large()),
            Ok(Some(part)) => bytes.extend_from_slice(&part),
            Ok(None) => return Ok(bytes.into()),
            Err(_broken_off) => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "the body cannot be read"));
            }
        }
    }
}

async fn stopping(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(BODY_TIMEOUT_STOPPING).await;
}
