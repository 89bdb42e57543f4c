//! One entry of a stream, as the relay wrote it and a handler sees it.

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::error::HandlerError;
use super::event_id::EventId;
use super::id::EntryId;
use outflow_core::entry_field::{HEADERS, ID, KEY, PAYLOAD, TIME, TYPE};
use outflow_core::trace_parent::TraceParent;

/// An event, read from a stream in Outflow's `fields` format.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The stream that it was read from.
    pub stream: String,
    /// The entry's id in the stream.
    pub id: EntryId,
    /// The event's id, by which repetitions of it are recognized: what an
    /// [`Inbox`](super::Inbox) takes. The field `id`.
    pub event_id: EventId,
    /// The type of the event, such as `OrderCreated`. The field `type`.
    pub event_type: String,
    /// The ordering key; empty when the entry has none.
    pub key: String,
    /// When the event was written to the outbox, if the entry says so.
    pub time: Option<Timestamp>,
    /// The payload's bytes: JSON text, unless the outbox holds something else.
    pub payload: Bytes,
    /// Metadata such as `traceparent`; empty when the entry has none.
    pub headers: Map<String, Value>,
    /// Number of the attempt: 1 at first. Redis counts them, so that the number survives a crash.
    pub attempts: u32,
}

/// Why the fields of an entry are not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A field that every event has is not there.
    #[error("the entry has no field {0:?}")]
    Missing(&'static str),
    /// A field does not hold what it should.
    #[error("the entry's field {0:?} is not {1}")]
    Unreadable(&'static str, &'static str),
}

/// The payload is not what the handler expects.
#[derive(Debug, thiserror::Error)]
#[error("payload: {0}")]
struct UnreadablePayload(#[source] serde_json::Error);

impl Entry {
    /// An entry with this event, without a key, for tests of a handler. Set the other fields as
    /// you need them.
    pub fn new(
        event_id: impl Into<EventId>,
        event_type: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        Self {
            stream: String::new(),
            id: EntryId::default(),
            event_id: event_id.into(),
            event_type: event_type.into(),
            key: String::new(),
            time: None,
            payload: payload.into(),
            headers: Map::new(),
            attempts: 1,
        }
    }

    /// Reads the fields of an entry: names and values in turn. Unknown fields are left out; of a
    /// repeated one, the first counts.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn read(
        stream: &str,
        id: EntryId,
        fields: &[Bytes],
        attempts: u32,
    ) -> Result<Self, Malformed> {
        let find = |name: &'static str| {
            fields.chunks_exact(2).find(|pair| pair[0] == name.as_bytes()).map(|pair| &pair[1])
        };
        let text = |name: &'static str| match find(name) {
            Some(bytes) => String::from_utf8(bytes.to_vec())
                .map(Some)
                .or(Err(Malformed::Unreadable(name, "UTF-8"))),
            None => Ok(None),
        };
        let required = |name: &'static str| text(name)?.ok_or(Malformed::Missing(name));
        let time = text(TIME)?.map_or(Ok(None), |time| read_time(&time))?;
        let headers = match find(HEADERS) {
            Some(json) => serde_json::from_slice(json)
                .or(Err(Malformed::Unreadable(HEADERS, "a JSON object")))?,
            None => Map::new(),
        };
        Ok(Self {
            stream: stream.to_owned(),
            id,
            event_id: required(ID)?.into(),
            event_type: required(TYPE)?,
            key: text(KEY)?.unwrap_or_default(),
            time,
            payload: find(PAYLOAD).cloned().ok_or(Malformed::Missing(PAYLOAD))?,
            headers,
            attempts,
        })
    }

    /// The trace that the event belongs to, from its `traceparent` (W3C Trace Context): 32
    /// hexadecimal digits.
    pub fn trace_id(&self) -> Option<&str> {
        TraceParent::trace_id_of(self.headers.get("traceparent")?.as_str()?)
    }

    /// The headers that carry the trace on (`traceparent`, `tracestate`), for an event that follows
    /// from this one.
    pub fn trace_headers(&self) -> Map<String, Value> {
        ["traceparent", "tracestate"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), self.headers.get(name)?.clone())))
            .collect()
    }

    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Permanent`](super::ErrorKind::Permanent), because a payload that cannot be read
    /// now never can.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| HandlerError::permanent(UnreadablePayload(error)))
    }
}

/// A table need not have a time, and the relay passes on what no calendar of ours holds:
/// `infinity`, or the year 12000 in the expanded form of ISO 8601.
fn read_time(text: &str) -> Result<Option<Timestamp>, Malformed> {
    match text.parse() {
        Ok(time) => Ok(Some(time)),
        Err(_) if text.is_empty() || text == "infinity" => Ok(None),
        Err(_) if text.starts_with(['+', '-']) => Ok(None),
        Err(_) => Err(Malformed::Unreadable(TIME, "an RFC 3339 time")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::{Entry, EntryId, Malformed};

    fn fields(texts: &[&'static str]) -> Vec<Bytes> {
        texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
    }

    #[test]
    fn an_entry_of_the_relay_is_read() {
        let fields = fields(&[
            "id",
            "e1",
            "type",
            "T",
            "key",
            "k",
            "time",
            "2026-01-02T03:04:05.5Z",
            "payload",
            "{\"a\":1}",
            "headers",
            "{\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}",
            "later",
            "field",
        ]);
        let entry =
            Entry::read("s", EntryId { ms: 1, number: 0 }, &fields, 3).expect("a whole entry");
        assert_eq!(
            (entry.stream.as_str(), entry.event_id.as_str(), entry.event_type.as_str()),
            ("s", "e1", "T")
        );
        assert_eq!(
            (entry.key.as_str(), &entry.payload[..], entry.attempts),
            ("k", &b"{\"a\":1}"[..], 3)
        );
        assert_eq!(entry.time.map(Timestamp::as_millisecond), Some(1_767_323_045_500));
        assert_eq!(entry.trace_id(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let carried: Vec<String> =
            entry.trace_headers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(carried, ["traceparent"]);
    }

    #[test]
    fn what_the_relay_writes_for_a_time_is_no_fault_of_the_entry() {
        for (time, is_known) in [
            ("2026-01-02T03:04:05.5Z", true),
            ("", false),
            ("infinity", false),
            ("-infinity", false),
            ("+012000-01-01T00:00:00Z", false),
            ("-004712-01-01T00:00:00Z", true),
            ("-010000-01-01T00:00:00Z", false),
        ] {
            let mut fields = fields(&["id", "e", "type", "T", "payload", "{}", "time"]);
            fields.push(Bytes::from_static(time.as_bytes()));
            let entry = Entry::read("s", EntryId::default(), &fields, 1).expect("an entry");
            assert_eq!(entry.time.is_some(), is_known, "{time}");
        }
    }

    #[test]
    fn anything_else_is_named() {
        let rows: [(&[&'static str], Malformed); 6] = [
            (&["type", "T", "payload", "{}"], Malformed::Missing("id")),
            (&["id", "e", "payload", "{}"], Malformed::Missing("type")),
            (&["id", "e", "type", "T"], Malformed::Missing("payload")),
            (&["id", "e", "type", "T", "payload"], Malformed::Missing("payload")),
            (
                &["id", "e", "type", "T", "payload", "", "time", "now"],
                Malformed::Unreadable("time", "an RFC 3339 time"),
            ),
            (
                &["id", "e", "type", "T", "payload", "", "headers", "[]"],
                Malformed::Unreadable("headers", "a JSON object"),
            ),
        ];
        for (texts, expected) in rows {
            assert_eq!(
                Entry::read("s", EntryId::default(), &fields(texts), 1).err(),
                Some(expected),
                "{texts:?}"
            );
        }
    }
}
