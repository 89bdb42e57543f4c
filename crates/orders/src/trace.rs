//! The trace context that a caller sends along (W3C Trace Context), checked before it goes into an
//! event's headers.

use std::num::{NonZeroU64, NonZeroU128};

use axum::http::{HeaderMap, HeaderValue};
use outflow_producer::TraceParent;
use serde_json::{Map, Value};
use uuid::Uuid;

/// What the recommendation asks every system to pass on at least.
const TRACESTATE_BYTES_MAX: usize = 512;

/// The trace that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    parent: TraceParent,
    state: Option<String>,
}

impl Trace {
    /// What the caller sent; a new trace without a valid `traceparent`: a broken one is no reason
    /// to fail the request.
    pub fn of(request: &HeaderMap) -> Self {
        let mut parents = request.get_all("traceparent").iter();
        let parse = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
        let (Some(parent), None) = (parents.next().and_then(parse), parents.next()) else {
            return Self { parent: new_parent(), state: None };
        };
        let states: Option<Vec<&str>> =
            request.get_all("tracestate").iter().map(|value| value.to_str().ok()).collect();
        let state = states.unwrap_or_default().join(",");
        let fits = !state.is_empty() && state.len() <= TRACESTATE_BYTES_MAX;
        Self { parent, state: fits.then_some(state) }
    }

    /// The trace's id: 32 hexadecimal digits.
    pub fn id(&self) -> &str {
        self.parent.trace_id()
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
fn new_parent() -> TraceParent {
    let trace_id = NonZeroU128::MIN | Uuid::new_v4().as_u128();
    let (_, random) = Uuid::new_v4().as_u64_pair();
    TraceParent::from_ids(trace_id, NonZeroU64::MIN | random, false)
}
