//! The trace context that a caller sends along (W3C Trace Context), checked before it goes into an
//! event's headers.

use axum::http::HeaderMap;
use serde_json::{Map, Value};
use uuid::Uuid;

/// What the recommendation asks every system to pass on at least.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The trace that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    parent: String,
    state: Option<String>,
}

impl Trace {
    /// What the caller sent; a new trace without a valid `traceparent`: a broken one is no reason
    /// to fail the request.
    pub fn of(request: &HeaderMap) -> Self {
        let mut parents = request.get_all("traceparent").iter();
        let sent = match (parents.next().and_then(|value| value.to_str().ok()), parents.next()) {
            (Some(parent), None) if is_traceparent(parent) => parent,
            _ => return Self { parent: new_parent(), state: None },
        };
        let states: Option<Vec<&str>> =
            request.get_all("tracestate").iter().map(|value| value.to_str().ok()).collect();
        let state = states.unwrap_or_default().join(",");
        let fits = !state.is_empty() && state.len() <= TRACESTATE_BYTES_MAX;
        Self { parent: sent.to_owned(), state: fits.then_some(state) }
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        self.parent.split('-').nth(1).unwrap_or_default()
    }

    /// The event headers that carry it on.
    pub fn event_headers(&self) -> Map<String, Value> {
        let mut headers = Map::new();
        headers.insert("traceparent".to_owned(), self.parent.as_str().into());
        if let Some(state) = &self.state {
            headers.insert("tracestate".to_owned(), state.as_str().into());
        }
        headers
    }
}

/// A trace of our own. Not sampled: nobody upstream records it.
fn new_parent() -> String {
    let (trace, parent) =
        (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    format!("00-{trace}-{}-00", &parent[..16])
}

/// `version-traceid-parentid-flags` in lower-case hexadecimal digits; later versions may add more
/// behind a dash.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(5, '-').collect();
    let [version, trace, parent, flags, rest @ ..] = parts.as_slice() else { return false };
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |part: &str| part.bytes().any(|byte| byte != b'0');
    hex(version, 2)
        && *version != "ff"
        && (rest.is_empty() || *version != "00")
        && (hex(trace, 32) && nonzero(trace))
        && (hex(parent, 16) && nonzero(parent))
        && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::{is_traceparent, new_parent};

    #[test]
    fn only_what_the_recommendation_allows_is_passed_on() {
        let rows = [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later", false),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", false),
            ("", false),
        ];
        assert_eq!(rows.len(), 10);
        for (text, valid) in rows {
            assert_eq!(is_traceparent(text), valid, "{text:?}");
        }
        assert!(is_traceparent(&new_parent()));
    }
}
