//! What the API answers when it cannot do what was asked: problem details for people and programs (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::request::FieldError;

/// Seconds after which a caller may try again what failed for want of a server.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// A problem, as `application/problem+json`.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// `about:blank`: the status says what kind of problem it is, `detail` the rest.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    #[serde(serialize_with = "number")]
    status: StatusCode,
    /// What is wrong with this request.
    detail: String,
    /// Each wrong field; empty if the problem is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of that status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { kind: "about:blank", title, status, detail: detail.into(), errors: Vec::new() }
    }

    /// 422 with every wrong field.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one field is wrong".to_owned(),
            count => format!("{count} fields are wrong"),
        };
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Texts and numbers only: it cannot fail to serialise.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, kind, body).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
