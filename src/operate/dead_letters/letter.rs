//! A dead letter, and which of them are meant.

use jiff::Timestamp;
use serde::Serialize;

/// Selects dead letters. A field that is `None` does not filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these numbers.
    pub ids: Option<Vec<i64>>,
    /// Only letters of this outbox.
    pub outbox: Option<String>,
    /// Only letters with this reason.
    pub reason: Option<String>,
    /// Only letters for this stream; empty: those that have none.
    pub stream: Option<String>,
    /// Only letters of this event type.
    pub kind: Option<String>,
    /// Only letters with this ordering key.
    pub key: Option<String>,
    /// Only letters dead-lettered at or after this time.
    pub since: Option<Timestamp>,
    /// Only letters dead-lettered before this time.
    pub until: Option<Timestamp>,
    /// Only letters from this number on.
    pub first: Option<i64>,
    /// Only letters up to this number: those that were there when somebody counted.
    pub last: Option<i64>,
    /// Maximum number of letters, oldest first.
    pub limit: Option<i64>,
}

/// An event that could not be appended, with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Letter {
    /// Its number among the dead letters.
    pub id: i64,
    /// Outbox it came from.
    pub outbox: String,
    /// Why it died.
    pub reason: String,
    /// Stream it was meant for, if that is known.
    pub stream: Option<String>,
    /// When it was moved here.
    pub died_at: Timestamp,
    /// Primary key of its row, as text.
    pub row: String,
    /// What consumers deduplicate by.
    pub event_id: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened.
    pub time: Option<String>,
    /// Headers, as they were.
    pub headers: Option<String>,
    /// The columns of the stream template.
    pub route: Option<serde_json::Value>,
    /// Why it died, in words: the server's, if it said anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Hexadecimal digits of what is no text: `key`, `type`, `headers`, and in `route` its columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<serde_json::Value>,
    /// What could not be kept, or had no value: it cannot be put back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Size of the payload.
    pub payload_bytes: i64,
    /// The payload, if it was asked for and is a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload in hexadecimal digits, if it was asked for and is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_hex: Option<String>,
}

/// A dead letter's number and outbox: enough to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its number.
    pub id: i64,
    /// Its outbox.
    pub outbox: String,
    /// Why it died.
    pub reason: String,
}
