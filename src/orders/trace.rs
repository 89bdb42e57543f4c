//! The trace context that a caller sends along (W3C Trace Context), checked before it goes into an event's headers.

use axum::http::HeaderMap;
use serde_json::{Map, Value};

/// What the recommendation asks every system to pass on at least.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The event headers that carry on the trace of a request: `traceparent`, and `tracestate` if there is one. Empty
/// without a valid `traceparent`: a broken one starts a new trace rather than failing the request.
pub fn event_headers(request: &HeaderMap) -> Map<String, Value> {
    let mut headers = Map::new();
    let mut parents = request.get_all("traceparent").iter();
    let (Some(parent), None) = (parents.next().and_then(|value| value.to_str().ok()), parents.next()) else {
        return headers;
    };
    if !is_traceparent(parent) {
        return headers;
    }
    headers.insert("traceparent".to_owned(), parent.into());
    let states: Option<Vec<&str>> = request.get_all("tracestate").iter().map(|value| value.to_str().ok()).collect();
    let state = states.unwrap_or_default().join(",");
    if !state.is_empty() && state.len() <= TRACESTATE_BYTES_MAX {
        headers.insert("tracestate".to_owned(), state.into());
    }
    headers
}

/// `version-traceid-parentid-flags` in lower-case hexadecimal digits; later versions may add more behind a dash.
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
    use super::is_traceparent;

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
    }
}
