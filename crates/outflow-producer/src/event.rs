//! An event that is about to be written.

use std::borrow::Cow;

use outflow_core::trace_parent::TraceParent;
use serde_json::{Map, Value};
use uuid::Uuid;

/// An event to write into the outbox. `P` is the payload's type: anything that serializes to JSON.
///
/// ```
/// use outflow_producer::NewEvent;
///
/// let payload = serde_json::json!({ "customer_id": 7, "name": "Ada" });
/// let event = NewEvent::new("customer", 7.to_string(), "CustomerRenamed", &payload)
///     .header("source", "crm")
///     .traceparent(&"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NewEvent<'a, P: ?Sized> {
    pub(crate) event_id: Uuid,
    pub(crate) aggregate_type: Cow<'a, str>,
    pub(crate) aggregate_id: Cow<'a, str>,
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) payload: &'a P,
    pub(crate) headers: Map<String, Value>,
}

impl<'a, P: ?Sized> NewEvent<'a, P> {
    /// Creates an event with a new id (UUID v7) and no headers.
    ///
    /// * `aggregate_type`: the kind of thing that changed, such as `order`. The relay's default
    ///   stream is `events.{aggregate_type}`.
    /// * `aggregate_id`: the thing that changed. This is the ordering key.
    /// * `event_type`: what happened, such as `OrderCreated`.
    /// * `payload`: the event's content. Pass a [`serde_json::value::RawValue`] to send JSON text
    ///   unchanged.
    pub fn new(
        aggregate_type: impl Into<Cow<'a, str>>,
        aggregate_id: impl Into<Cow<'a, str>>,
        event_type: impl Into<Cow<'a, str>>,
        payload: &'a P,
    ) -> Self {
        Self {
            event_id: Uuid::now_v7(),
            aggregate_type: aggregate_type.into(),
            aggregate_id: aggregate_id.into(),
            event_type: event_type.into(),
            payload,
            headers: Map::new(),
        }
    }

    /// Sets the event's id, by which consumers recognize a repeated delivery. Use it if the payload
    /// contains the id, or to derive the id from a request (UUID v5) so that a repeated request
    /// yields the same event.
    #[must_use]
    pub fn id(mut self, event_id: Uuid) -> Self {
        self.event_id = event_id;
        self
    }

    /// Sets a header. Replaces a header of the same name.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// Sets several headers. Replaces headers of the same names.
    #[must_use]
    pub fn headers(mut self, headers: impl IntoIterator<Item = (String, Value)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Sets the header `traceparent`, so that consumers continue the trace.
    #[must_use]
    pub fn traceparent(self, parent: &TraceParent) -> Self {
        self.header("traceparent", parent.as_str())
    }
}
