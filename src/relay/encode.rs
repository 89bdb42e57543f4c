//! From a batch to the entries of its streams: one format's field names, and each event's values.
//! Pure.
//!
//! A batch names each stream and each list of field names ("shape") once; an event is then two
//! small numbers and its values, so that 1,000 entries cost little more on the wire than their
//! payloads. There is no order between streams, so that the entries of a stream are put together: a
//! run of them names its stream and its shape once.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::relay::event::{Batch, DeadLetter, DeadReason, Event};
use crate::relay::route::{Template, route};
use outflow_core::entry_field::{HEADERS, ID, KEY, PAYLOAD, TIME, TYPE};

/// How an event is laid out as an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `id`, `type`, `key`, `time`, `payload`, and `headers` when not empty.
    Fields,
    /// `payload` alone.
    Payload,
    /// `CloudEvents` 1.0 attributes, one field each and unprefixed (there is no Redis binding), the
    /// payload in `data`.
    CloudEvents,
    /// Debezium Server's extended format: `key`, `value`, and `headers` when not empty.
    Debezium,
}

/// One event, ready to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position of its stream in [`Entries::streams`].
    pub stream: usize,
    /// Position of its field names in [`Entries::shapes`].
    pub shape: usize,
    /// Position of its event in the batch.
    pub event: usize,
}

/// A batch, ready to be appended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Stream names.
    pub streams: Vec<String>,
    /// Lists of field names.
    pub shapes: Vec<Vec<&'static str>>,
    /// The entries, those of a stream together, in the order of the batch.
    pub entries: Vec<Entry>,
    /// The values of all entries, one after another, as many for each as its shape has names.
    pub values: Vec<Bytes>,
    /// Events that can never be appended.
    pub dead: Vec<DeadLetter>,
}

impl Entries {
    /// The streams that get an entry, each once or more.
    pub fn filled(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| self.streams[entry.stream].as_str())
    }

    /// Size of all values in bytes.
    pub fn bytes(&self) -> usize {
        self.values.iter().map(Bytes::len).sum()
    }
}

/// What an encoder needs to know of an outbox.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// Name of the stream.
    pub template: Template,
    /// Layout of an entry.
    pub format: Format,
    /// Larger events go to the dead letters, in bytes.
    pub event_bytes_max: usize,
    /// `source` of a `CloudEvent`: the outbox, as a URI reference.
    pub source: Bytes,
}

impl Encoder {
    /// Lays out a batch. Events without a stream, events that are too large and those of the
    /// streams that are `given_up` are set aside.
    pub fn encode(&self, batch: &Batch, given_up: &[String]) -> Entries {
        let routes = route(&self.template, batch);
        let mut entries = Entries {
            streams: routes.streams,
            entries: Vec::with_capacity(batch.events.len()),
            values: Vec::with_capacity(batch.events.len() * 6),
            ..Entries::default()
        };
        let mut order: Vec<usize> = (0..batch.events.len()).collect();
        if entries.streams.len() > 1 {
            // Stable: within a stream the order stays.
            order.sort_by_key(|index| routes.of_event[*index]);
        }
        for index in order {
            let (event, stream) = (&batch.events[index], &routes.of_event[index]);
            let reason = match stream {
                None => Some(DeadReason::NoStream),
                Some(_) if event.size() > self.event_bytes_max => Some(DeadReason::TooLarge),
                Some(stream) if given_up.contains(&entries.streams[*stream]) => {
                    Some(DeadReason::Refused)
                }
                Some(_) => None,
            };
            match (stream, reason) {
                (Some(stream), None) => self.lay_out(event, index, *stream, &mut entries),
                (stream, reason) => {
                    let stream = stream.map(|stream| entries.streams[stream].clone());
                    let reason = reason.unwrap_or(DeadReason::NoStream);
                    entries.dead.push(DeadLetter { index, stream, reason });
                }
            }
        }
        // A retry puts them back in the order in which they are buried.
        entries.dead.sort_by_key(|letter| letter.index);
        entries
    }

    fn lay_out(&self, event: &Event, index: usize, stream: usize, entries: &mut Entries) {
        let Entries { values, shapes, .. } = entries;
        let names = match self.format {
            Format::Fields => fields(event, values),
            Format::Payload => {
                values.push(event.payload.clone());
                &[PAYLOAD][..]
            }
            Format::CloudEvents => self.cloud_event(event, values),
            Format::Debezium => debezium(event, values),
        };
        let shape = shapes.iter().position(|shape| shape == names).unwrap_or_else(|| {
            shapes.push(names.to_vec());
            shapes.len() - 1
        });
        entries.entries.push(Entry { stream, shape, event: index });
    }

    fn cloud_event(&self, event: &Event, values: &mut Vec<Bytes>) -> &'static [&'static str] {
        const NAMES: [&str; 9] = [
            "specversion",
            "id",
            "source",
            "type",
            "partitionkey",
            "time",
            "datacontenttype",
            "data",
            "headers",
        ];
        values.extend([
            Bytes::from_static(b"1.0"),
            event.id.clone(),
            self.source.clone(),
            event.kind.clone(),
            event.key.clone().unwrap_or_default(),
            event.time.clone().unwrap_or_default(),
            Bytes::from_static(b"application/json"),
            event.payload.clone(),
        ]);
        with_headers(event, values, &NAMES)
    }
}

fn fields(event: &Event, values: &mut Vec<Bytes>) -> &'static [&'static str] {
    const NAMES: [&str; 6] = [ID, TYPE, KEY, TIME, PAYLOAD, HEADERS];
    values.extend([
        event.id.clone(),
        event.kind.clone(),
        event.key.clone().unwrap_or_default(),
        event.time.clone().unwrap_or_default(),
        event.payload.clone(),
    ]);
    with_headers(event, values, &NAMES)
}

fn debezium(event: &Event, values: &mut Vec<Bytes>) -> &'static [&'static str] {
    const NAMES: [&str; 3] = ["key", "value", "headers"];
    values.extend([event.key.clone().unwrap_or_default(), event.payload.clone()]);
    with_headers(event, values, &NAMES)
}

/// Adds the headers, whose name is the last one, or leaves both out.
fn with_headers(
    event: &Event,
    values: &mut Vec<Bytes>,
    names: &'static [&'static str],
) -> &'static [&'static str] {
    match &event.headers {
        Some(headers) => {
            values.push(headers.clone());
            names
        }
        None => &names[..names.len() - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &'static str, headers: Option<&'static str>) -> Event {
        Event {
            row: Bytes::from("7"),
            order: Some(7),
            id: Bytes::from("e-7"),
            key: Some(Bytes::from("k")),
            kind: Bytes::from("OrderCreated"),
            time: Some(Bytes::from("2026-11-21T00:00:00Z")),
            payload: Bytes::from(payload),
            headers: headers.map(Bytes::from),
        }
    }

    fn encoder(format: Format) -> Encoder {
        Encoder {
            template: "events.{a}".parse().expect("a template"),
            format,
            event_bytes_max: 200,
            source: Bytes::from("/orders"),
        }
    }

    fn one(format: Format, headers: Option<&'static str>) -> Vec<(&'static str, Bytes)> {
        let batch = Batch {
            events: vec![event("{}", headers)],
            route: vec![Some(Bytes::from("order"))],
            route_width: 1,
            passage: None,
        };
        let entries = encoder(format).encode(&batch, &[]);
        assert_eq!(entries.streams, ["events.order"]);
        entries.shapes[0].iter().copied().zip(entries.values).collect()
    }

    #[test]
    fn each_format_has_its_fields_in_order() {
        let names = |format, headers| {
            one(format, headers).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let some = Some(r#"{"traceparent":"00-…"}"#);
        let table = [
            (Format::Fields, None, "id type key time payload"),
            (Format::Fields, some, "id type key time payload headers"),
            (Format::Payload, some, "payload"),
            (
                Format::CloudEvents,
                None,
                "specversion id source type partitionkey time datacontenttype data",
            ),
            (
                Format::CloudEvents,
                some,
                "specversion id source type partitionkey time datacontenttype data headers",
            ),
            (Format::Debezium, None, "key value"),
            (Format::Debezium, some, "key value headers"),
        ];
        for (format, headers, expected) in table {
            assert_eq!(names(format, headers).join(" "), expected, "{format:?}");
        }
    }

    #[test]
    fn the_entries_of_a_stream_are_together_and_in_order() {
        let names = ["b", "a", "", "b", "a", "b"];
        let route = names.map(|name| Some(Bytes::from(name)).filter(|name| !name.is_empty()));
        let batch = Batch {
            events: names.map(|_| event("1", None)).into(),
            route: route.into(),
            route_width: 1,
            passage: None,
        };
        let entries = encoder(Format::Fields).encode(&batch, &[]);
        let laid_out: Vec<_> = entries
            .entries
            .iter()
            .map(|entry| (&entries.streams[entry.stream][..], entry.event))
            .collect();
        assert_eq!(
            laid_out,
            [("events.b", 0), ("events.b", 3), ("events.b", 5), ("events.a", 1), ("events.a", 4)]
        );
    }

    #[test]
    fn what_can_never_be_appended_is_set_aside_and_the_rest_goes_on() {
        let large: &'static str = "x".repeat(300).leak();
        let batch = Batch {
            events: vec![
                event("1", None),
                event(large, None),
                event("3", None),
                event("4", Some("{\"a\":1}")),
            ],
            route: vec![
                Some(Bytes::from("o")),
                Some(Bytes::from("o")),
                None,
                Some(Bytes::from("p")),
            ],
            route_width: 1,
            passage: None,
        };
        let entries = encoder(Format::Fields).encode(&batch, &[]);
        let dead = [
            DeadLetter {
                index: 1,
                stream: Some("events.o".to_owned()),
                reason: DeadReason::TooLarge,
            },
            DeadLetter { index: 2, stream: None, reason: DeadReason::NoStream },
        ];
        assert_eq!(entries.dead, dead);
        let kept: Vec<_> =
            entries.entries.iter().map(|entry| (entry.event, entry.stream, entry.shape)).collect();
        assert_eq!(kept, [(0, 0, 0), (3, 1, 1)]);
        assert_eq!(entries.values.len(), 5 + 6);
    }
}
