//! The trace that an event belongs to, from its headers. Pure.

use std::borrow::Cow;

use serde::Deserialize;

use outflow_core::trace_parent::TraceParent;

/// What of an event's headers matters here.
#[derive(Deserialize)]
struct Headers<'a> {
    #[serde(borrow)]
    traceparent: Cow<'a, str>,
}

/// `None` if the headers name no trace, or not as W3C has it. An event is never refused for that.
pub(crate) fn trace_parent(headers: &[u8]) -> Option<TraceParent> {
    let Headers { traceparent } = serde_json::from_slice(headers).ok()?;
    traceparent.parse().ok()
}
