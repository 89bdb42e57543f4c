//! A log line for each event that was appended, for whoever follows one by its trace id. Off unless
//! it is asked for, with `level = "info,outflow::events=trace"`: it is a line an event.

use super::trace::trace_parent;
use crate::relay::encode::Entries;
use crate::relay::event::Batch;
use outflow_core::trace_parent::TraceParent;

const TARGET: &str = "outflow::events";

/// Says which events were appended, and where.
pub(super) fn appended(outbox: &str, batch: &Batch, entries: &Entries) {
    if !tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        return;
    }
    for entry in &entries.entries {
        let (event, stream) = (&batch.events[entry.event], &entries.streams[entry.stream]);
        let headers = event.headers.as_deref().unwrap_or_default();
        let parent = trace_parent(headers);
        let trace_id = parent.as_ref().map(TraceParent::trace_id).unwrap_or_default();
        let (event_id, event_type) =
            (String::from_utf8_lossy(&event.id), String::from_utf8_lossy(&event.kind));
        tracing::trace!(target: TARGET, outbox, stream, %event_id, %event_type, trace_id,
            "appended");
    }
}
