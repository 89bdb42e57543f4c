//! A row as a look returns it. Pure.

use bytes::Bytes;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::key::{key, stream};
use super::known::{Mapped, column};

/// Characters of a value that are shown.
const SHOWN: u32 = 400;

/// A row that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Primary key as text.
    pub row: String,
    /// Order value as text; `None`: it has none, and no claim comes to it.
    pub order: Option<String>,
    /// Event id, as consumers see it.
    pub event_id: String,
    /// Ordering key.
    pub key: Option<String>,
    /// Event type.
    pub kind: String,
    /// Its time, if the table has one that is a plausible moment.
    pub time: Option<Timestamp>,
    /// The id of its trace.
    pub trace_id: Option<String>,
    /// The stream that it goes to; `None`: its row names none.
    pub stream: Option<String>,
    /// The slot of its key.
    pub slot: i32,
    /// Whether it waits to be sent.
    pub waits: bool,
    /// By what rows of one key are known.
    pub(super) key_in_order: String,
    pub(super) stream_in_sql: String,
}

/// What a look returns of a row of the alias `c`.
pub(super) fn list(mapped: &Mapped, waits: &str) -> String {
    let names = &mapped.config.columns;
    let text = |name: &String| format!("left({}::text, {SHOWN})", column(name));
    let none = || "null::text".to_owned();
    let trace = names.headers.as_ref().map(|name| {
        format!(
            "substring({}::text from \
             '\"traceparent\"\\s*:\\s*\"[0-9a-f]{{2}}-([0-9a-f]{{32}})-')",
            column(name)
        )
    });
    let route = |name: &str| format!("{}::text", column(name));
    let route: Vec<String> = mapped.config.stream.columns().map(route).collect();
    let order = format!("{}::text", column(&names.order));
    let time = mapped.time().unwrap_or_else(|| "null::timestamptz".to_owned());
    let key = key(&mapped.config, 'c');
    [
        text(&names.id),
        order,
        text(&names.event_id),
        names.key.as_ref().map_or_else(none, text),
        text(&names.kind),
        time,
        trace.unwrap_or_else(none),
        format!("array[{}]::text[]", route.join(", ")),
        format!("(pg_catalog.hashtextextended({key}, 0) & 63)::integer"),
        format!("coalesce({waits}, false)"),
        key,
        stream(&mapped.config, 'c'),
    ]
    .join(", ")
}

/// The same, read.
pub(super) fn found(mapped: &Mapped, row: &Row) -> Match {
    let text = |at: usize| row.get::<_, Option<String>>(at);
    let route: Vec<Option<String>> = row.get(7);
    let route: Vec<Option<Bytes>> = route.into_iter().map(|value| value.map(Bytes::from)).collect();
    Match {
        row: text(0).unwrap_or_default(),
        order: text(1),
        event_id: text(2).unwrap_or_default(),
        key: text(3),
        kind: text(4).unwrap_or_default(),
        // `infinity` is a time that jiff does not have.
        time: row.try_get(5).unwrap_or(None),
        trace_id: text(6),
        stream: mapped.config.stream.render(&route),
        slot: row.get(8),
        waits: row.get(9),
        key_in_order: text(10).unwrap_or_default(),
        stream_in_sql: text(11).unwrap_or_default(),
    }
}
