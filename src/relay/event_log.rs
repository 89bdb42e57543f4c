//! A log line for each event that was appended, for whoever follows one by its trace id. Off unless
//! it is asked for, with `level = "info,outflow::events=trace"`: it is a line an event.

use serde::Deserialize;

use crate::relay::encode::Entries;
use crate::relay::event::Batch;

const TARGET: &str = "outflow::events";

/// What of an event's headers matters here. A `traceparent` with a backslash is none.
#[derive(Deserialize)]
struct Headers<'a> {
    #[serde(borrow)]
    traceparent: &'a str,
}

/// Says which events were appended, and where.
pub(super) fn appended(outbox: &str, batch: &Batch, entries: &Entries) {
    if !tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        return;
    }
    for entry in &entries.entries {
        let (event, stream) = (&batch.events[entry.event], &entries.streams[entry.stream]);
        let headers = event.headers.as_deref().unwrap_or_default();
        let headers: Option<Headers<'_>> = serde_json::from_slice(headers).ok();
        let trace_id =
            headers.and_then(|headers| headers.traceparent.split('-').nth(1)).unwrap_or_default();
        let (event_id, event_type) =
            (String::from_utf8_lossy(&event.id), String::from_utf8_lossy(&event.kind));
        tracing::trace!(target: TARGET, outbox, stream, %event_id, %event_type, trace_id,
            "appended");
    }
}
