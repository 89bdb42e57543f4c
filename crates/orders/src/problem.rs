//! What the API answers when it cannot do what was asked: problem details for people and programs
//! (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::request::FieldError;
use outflow_core::escape;

/// Seconds after which a caller may try again what failed for want of a server.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Wrong fields that are listed.
const ERRORS_MAX: usize = 20;
/// Characters of where one is: a name that nobody knows may be as long as the body.
const POINTER_CHARS_MAX: usize = 200;

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
    /// The first wrong fields; empty if the problem is another one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The same request may well succeed a little later.
    #[serde(skip)]
    is_transient: bool,
}

impl Problem {
    /// A problem of that status.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error").to_owned();
        Self {
            kind: "about:blank",
            title,
            status,
            detail: detail.into(),
            errors: Vec::new(),
            is_transient: status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// 422 with the first wrong fields: a request must not be answered with many times its own
    /// size.
    pub fn fields(mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one field is wrong".to_owned(),
            count if count > ERRORS_MAX => {
                format!("{count} fields are wrong; these are the first {ERRORS_MAX}")
            }
            count => format!("{count} fields are wrong"),
        };
        errors.truncate(ERRORS_MAX);
        for error in &mut errors {
            if let Some((end, _)) = error.pointer.char_indices().nth(POINTER_CHARS_MAX) {
                error.pointer.truncate(end);
                error.pointer.push('…');
            }
        }
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// The same, with `Retry-After`.
    #[must_use]
    pub fn transient(self) -> Self {
        Self { is_transient: true, ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Texts and numbers only: it cannot fail to serialize.
        let body = escape::json(&serde_json::to_string(&self).unwrap_or_default());
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, kind, body).into_response();
        if self.is_transient {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
