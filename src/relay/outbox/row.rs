//! From rows of Postgres to a batch: each field is copied once, into memory that the whole batch
//! shares.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::naming::VERSION_MARK;
use super::{one, time};
use crate::relay::event::{Batch, Event};

/// Memory is taken in pieces of at least this size.
const ARENA_BYTES: usize = 64 * 1024;

/// How the binary form of a column becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// A number, to decimal digits.
    Int2,
    /// A number, to decimal digits.
    Int4,
    /// A number, to decimal digits.
    Int8,
    /// To the usual 36 characters.
    Uuid,
    /// As it is: text, json, bytea.
    Raw,
    /// As it is, less the version byte.
    Jsonb,
    /// To RFC 3339, UTC; what it has no words for as `time` says.
    Timestamp,
    /// As the midnight in UTC.
    Date,
    /// A transaction, as a number.
    Xid,
}

impl Decode {
    /// Whether it is an integer.
    pub fn is_integer(self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8)
    }
}

/// Where a field is in a returned row, and how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Position in the row.
    pub position: usize,
    /// How to read it.
    pub decode: Decode,
}

/// Where each field of an event is in a returned row. Position 0 is the claim's own transaction, or
/// in a kept outbox the row's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The types of the mapped columns: values of any other would be read wrongly.
    pub types: Vec<u32>,
    /// Order column, if it is an integer.
    pub order: Option<Field>,
    /// Primary key.
    pub row: Field,
    /// The transaction that wrote the row, where its ids alone do not tell it from a later one.
    pub version: Option<Field>,
    /// Event id.
    pub id: Field,
    /// Ordering key.
    pub key: Option<Field>,
    /// Event type.
    pub kind: Field,
    /// Time.
    pub time: Option<Field>,
    /// Payload.
    pub payload: Field,
    /// Headers.
    pub headers: Option<Field>,
    /// The columns of the stream template.
    pub route: Vec<Field>,
}

/// A row that cannot be an event, or none of this batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::relay) enum BadRow {
    /// A field is longer than was asked for.
    #[error("a row is larger than event_bytes_max")]
    TooLong,
    /// The column of this key must have a value and has none.
    #[error("a row cannot be read: the column of {0} is null")]
    Null(&'static str),
    /// A value is not what its type promises.
    #[error("a row cannot be read: {0}")]
    Unreadable(String),
}

/// Collects rows into a batch.
pub(in crate::relay) struct Rows<'a> {
    layout: &'a Layout,
    arena: BytesMut,
    batch: Batch,
    bytes: usize,
    own: Option<u64>,
    /// How long a field may be, and what stands for a longer one.
    cap: usize,
    marker: &'a str,
}

impl<'a> Rows<'a> {
    /// No rows yet.
    pub(in crate::relay) fn new(layout: &'a Layout, cap: usize, marker: &'a str) -> Self {
        let batch = Batch { route_width: layout.route.len(), ..Batch::default() };
        Self { layout, arena: BytesMut::new(), batch, bytes: 0, own: None, cap, marker }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`BadRow`]: nothing more can be added.
    pub(in crate::relay) fn push(&mut self, row: &Row) -> Result<(), BadRow> {
        if self.own.is_none() {
            self.own = raw(row, 0)?.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        }
        let layout = self.layout;
        let order = layout.order.map(|field| integer(row, field)).transpose()?.flatten();
        let event = Event {
            row: self.named(row)?,
            order,
            id: self.required(row, layout.id, "columns.event_id")?,
            key: self.optional(row, layout.key)?,
            kind: self.required(row, layout.kind, "columns.type")?,
            time: self.optional(row, layout.time)?,
            payload: self.optional(row, Some(layout.payload))?.unwrap_or_default(),
            headers: self.optional(row, layout.headers)?.filter(|headers| !is_empty(headers)),
        };
        for field in &layout.route {
            let value = self.optional(row, Some(*field))?;
            self.batch.route.push(value);
        }
        self.bytes += event.size();
        self.batch.events.push(event);
        Ok(())
    }

    /// Order value of the last one.
    pub(super) fn last_order(&self) -> Option<i64> {
        self.batch.events.last().and_then(|event| event.order)
    }

    /// How many there are.
    pub(in crate::relay) fn len(&self) -> usize {
        self.batch.events.len()
    }

    /// Bytes of all events.
    pub(in crate::relay) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch in the order of the order column (RETURNING has none), and the claim's own
    /// transaction.
    pub(in crate::relay) fn finish(mut self) -> (Batch, Option<u64>) {
        let sorted = self.batch.events.is_sorted_by_key(|event| event.order);
        if !sorted {
            self.sort();
        }
        (self.batch, self.own)
    }

    fn sort(&mut self) {
        let width = self.batch.route_width;
        let mut order: Vec<usize> = (0..self.batch.events.len()).collect();
        order.sort_by_key(|index| self.batch.events[*index].order);
        self.batch.route = order
            .iter()
            .flat_map(|index| self.batch.route[index * width..][..width].to_vec())
            .collect();
        self.batch.events.sort_by_key(|event| event.order);
    }

    /// The primary key, with the version behind it.
    fn named(&mut self, row: &Row) -> Result<Bytes, BadRow> {
        let layout = self.layout;
        let Some(version) = layout.version else {
            return self.required(row, layout.row, "columns.id");
        };
        let key = raw(row, layout.row.position)?.ok_or(BadRow::Null("columns.id"))?;
        if self.is_too_long(key, layout.row.decode) {
            return Err(BadRow::TooLong);
        }
        self.make_room(key.len());
        write(&mut self.arena, key, layout.row.decode)?;
        self.arena.put_u8(VERSION_MARK);
        write(&mut self.arena, raw(row, version.position)?.unwrap_or_default(), version.decode)?;
        Ok(self.arena.split().freeze())
    }

    fn make_room(&mut self, bytes: usize) {
        if self.arena.capacity() - self.arena.len() < bytes + 64 {
            self.arena.reserve(ARENA_BYTES.max(bytes + 64));
        }
    }

    fn is_too_long(&self, bytes: &[u8], decode: Decode) -> bool {
        match decode {
            Decode::Raw => one::is_too_long(bytes, self.cap, self.marker),
            // Its version comes first.
            Decode::Jsonb => bytes.len() > self.cap + 1,
            Decode::Int2
            | Decode::Int4
            | Decode::Int8
            | Decode::Uuid
            | Decode::Timestamp
            | Decode::Date
            | Decode::Xid => false,
        }
    }

    fn required(&mut self, row: &Row, field: Field, key: &'static str) -> Result<Bytes, BadRow> {
        self.optional(row, Some(field))?.ok_or(BadRow::Null(key))
    }

    fn optional(&mut self, row: &Row, field: Option<Field>) -> Result<Option<Bytes>, BadRow> {
        let Some(field) = field else { return Ok(None) };
        let Some(bytes) = raw(row, field.position)? else { return Ok(None) };
        if self.is_too_long(bytes, field.decode) {
            return Err(BadRow::TooLong);
        }
        self.make_room(bytes.len());
        write(&mut self.arena, bytes, field.decode)?;
        Ok(Some(self.arena.split().freeze()))
    }
}

/// The binary form of a column.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn raw(row: &Row, position: usize) -> Result<Option<&[u8]>, BadRow> {
    let value: Option<Raw<'_>> =
        row.try_get(position).map_err(|error| BadRow::Unreadable(error.to_string()))?;
    Ok(value.map(|raw| raw.0))
}

fn integer(row: &Row, field: Field) -> Result<Option<i64>, BadRow> {
    let Some(bytes) = raw(row, field.position)? else { return Ok(None) };
    number(bytes, field.decode).map(Some)
}

fn number(bytes: &[u8], decode: Decode) -> Result<i64, BadRow> {
    let wrong = wrong_width;
    match decode {
        Decode::Int2 => {
            bytes.try_into().map(i16::from_be_bytes).map(i64::from).map_err(|_| wrong())
        }
        Decode::Int4 => {
            bytes.try_into().map(i32::from_be_bytes).map(i64::from).map_err(|_| wrong())
        }
        Decode::Int8 | Decode::Timestamp => {
            bytes.try_into().map(i64::from_be_bytes).map_err(|_| wrong())
        }
        Decode::Xid => bytes.try_into().map(u32::from_be_bytes).map(i64::from).map_err(|_| wrong()),
        Decode::Uuid | Decode::Raw | Decode::Jsonb | Decode::Date => Err(wrong()),
    }
}

fn wrong_width() -> BadRow {
    BadRow::Unreadable("a number has an unexpected width".to_owned())
}

fn write(arena: &mut BytesMut, bytes: &[u8], decode: Decode) -> Result<(), BadRow> {
    use std::fmt::Write as _;
    match decode {
        Decode::Raw => arena.put_slice(bytes),
        Decode::Jsonb => arena.put_slice(bytes.get(1..).unwrap_or_default()),
        Decode::Uuid => {
            let uuid = uuid::Uuid::from_slice(bytes)
                .map_err(|error| BadRow::Unreadable(error.to_string()))?;
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            arena.put_slice(uuid.as_hyphenated().encode_lower(&mut text).as_bytes());
        }
        Decode::Int2 | Decode::Int4 | Decode::Int8 | Decode::Xid => {
            // Writing to memory cannot fail.
            let _ = write!(arena, "{}", number(bytes, decode)?);
        }
        Decode::Timestamp => {
            let _ = time::write_timestamp(arena, number(bytes, decode)?);
        }
        Decode::Date => {
            let days = bytes.try_into().map(i32::from_be_bytes).map_err(|_| wrong_width())?;
            let _ = time::write_date(arena, days);
        }
    }
    Ok(())
}

/// An object without members, or nothing at all.
fn is_empty(headers: &Bytes) -> bool {
    let text = headers.trim_ascii();
    text.is_empty()
        || text == b"null"
        || (text.first() == Some(&b'{')
            && text.last() == Some(&b'}')
            && text[1..text.len() - 1].trim_ascii().is_empty())
}
