//! The nouns: an event, a batch of them, and what can become of it. No I/O.

use bytes::Bytes;

/// One outbox row, as bytes that are passed on unchanged. All fields of a batch share one
/// allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Primary key of the row as text: how recovery finds the row again. Behind a NUL follows the
    /// version of the row, where that is needed to tell it from a later one with the same key.
    pub row: Bytes,
    /// Value of the order column, if that is an integer.
    pub order: Option<i64>,
    /// Event id, by which consumers deduplicate.
    pub id: Bytes,
    /// Ordering key. Events without a key have no order.
    pub key: Option<Bytes>,
    /// Event type, for example `OrderCreated`.
    pub kind: Bytes,
    /// Time of the event: RFC 3339, UTC.
    pub time: Option<Bytes>,
    /// The payload, byte for byte as it was written (jsonb: as Postgres prints it).
    pub payload: Bytes,
    /// JSON object of headers, such as `traceparent`. `None` when there are none or the object is
    /// empty.
    pub headers: Option<Bytes>,
}

impl Event {
    /// The primary key alone.
    pub fn primary_key(&self) -> Bytes {
        let end = self.row.iter().position(|byte| *byte == 0).unwrap_or(self.row.len());
        self.row.slice(..end)
    }

    /// Bytes of all fields, which is nearly what the entry takes on the wire.
    pub fn size(&self) -> usize {
        let optional = [&self.key, &self.time, &self.headers];
        let optional: usize = optional.into_iter().flatten().map(Bytes::len).sum();
        self.id.len() + self.kind.len() + self.payload.len() + optional
    }
}

/// Rows that were claimed together, in the order of the order column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// Values of the columns that the stream template names: [`Batch::route_width`] for each event,
    /// in a row.
    pub route: Vec<Option<Bytes>>,
    /// How many columns the stream template names.
    pub route_width: usize,
    /// What the journal is to know once these are appended; `None` if a settled row is deleted.
    pub passage: Option<Box<Passage>>,
}

/// What the journal is to know once a batch of a kept outbox is appended.
///
/// The state of a member is its pieces, one a line:
/// `<slots>|<seen>|<target>|<up to>|<hint>|<stream, as hex>`. The sink puts the new state together
/// from these texts and reads none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passage {
    /// The member's other pieces, as text.
    pub rest: String,
    /// The piece that the batch was read from, as it is behind the batch.
    pub after: String,
    /// For a stream that refuses: `<mask>|<seen>|<target>|` of the piece before the batch, with the
    /// batch's target.
    pub refused: String,
    /// `up_to` of the piece before the batch ('' allowed), for a refusal of the first event.
    pub from: String,
    /// The hint of the piece before the batch.
    pub hint: i64,
    /// Whether that piece is one of a single stream: a refusal replaces it instead of adding one.
    pub of_stream: bool,
}

impl Batch {
    /// The template's columns of the event at `index`.
    pub fn route_of(&self, index: usize) -> &[Option<Bytes>] {
        &self.route[index * self.route_width..][..self.route_width]
    }
}

/// An event that can never be appended, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Position of the event in its batch.
    pub index: usize,
    /// The stream it was meant for, if that is known.
    pub stream: Option<String>,
    /// Why.
    pub reason: DeadReason,
}

/// The last batch that a member had an answer for in a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Acknowledged {
    /// The generation.
    pub generation: i64,
    /// The member's number.
    pub member: i32,
    /// Number of the batch; 0: none.
    pub batch: u64,
}

/// What a new generation starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The new generation.
    pub generation: i64,
    /// The journal's generation before; `None` if there was no journal.
    pub previous: Option<i64>,
    /// Every row that was appended and may not be settled.
    pub appended: Vec<AppendedRow>,
    /// What the journal knows of each member's last batch, in the last generations
    /// ([`GENERATIONS_KEPT`](crate::relay::sink::GENERATIONS_KEPT) of them).
    pub last: Vec<Acknowledged>,
    /// The Postgres that it belonged to, by system identifier and timeline; `None`: not known.
    pub server: Option<String>,
    /// What it knows of a kept outbox; `None` if settled rows are deleted.
    pub kept: Option<KeptRaised>,
}

/// What the journal of a kept outbox knew when a new generation began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptRaised {
    /// Each member's pieces, as text.
    pub members: Vec<(i32, String)>,
    /// For each member and generation, the last batch whose copy in Postgres is confirmed.
    pub copied: Vec<Acknowledged>,
}

/// Why an event can never be appended. A closed set: it is a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeadReason {
    /// The stream template names a column that is null or empty in this row.
    NoStream,
    /// The event is larger than `event_bytes_max`.
    TooLarge,
    /// Its stream has refused its events for longer than `park_max`.
    Refused,
    /// Postgres cannot hand the row out: a value cannot be read, or not be printed.
    Unreadable,
    /// A column is null that an event needs: its id or its type.
    NullColumn,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::NoStream, Self::TooLarge, Self::Refused, Self::Unreadable, Self::NullColumn];

    /// The name in metrics, logs and `outflow.dead_letter.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoStream => "no_stream",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::NullColumn => "null_column",
        }
    }
}

/// A row that the journal says was appended, although its settling may have been lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendedRow {
    /// Primary key of the row as text.
    pub row: Bytes,
    /// Its event id: a row that has another one by now is another event.
    pub event_id: Bytes,
    /// By which columns its writer named it, as the outbox told the sink; empty if the sink does
    /// not know.
    pub names: Bytes,
}
