//! What Redis answered.

use bytes::Bytes;

/// What Redis answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No value: a missing key, or a blocking read that timed out.
    Nil,
    /// An integer.
    Int(i64),
    /// A string of bytes, or a status such as `OK`.
    Text(Bytes),
    /// An array.
    List(Vec<Reply>),
}

impl Reply {
    /// The bytes of a text.
    pub fn text(&self) -> Option<&Bytes> {
        match self {
            Self::Text(bytes) => Some(bytes),
            Self::Nil | Self::Int(_) | Self::List(_) => None,
        }
    }

    /// A text as a string; what is no UTF-8 in it is replaced.
    pub fn string(&self) -> Option<String> {
        self.text().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// An integer, or a text of decimal digits.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            Self::Nil | Self::List(_) => None,
        }
    }

    /// What kind it is, for messages: what is in it may be an event's.
    pub fn kind(&self) -> String {
        match self {
            Self::Nil => "no value".to_owned(),
            Self::Int(_) => "a number".to_owned(),
            Self::Text(_) => "a text".to_owned(),
            Self::List(items) => format!("a list of {}", items.len()),
        }
    }

    /// The items of an array; none for anything else.
    pub fn items(&self) -> &[Reply] {
        match self {
            Self::List(items) => items,
            Self::Nil | Self::Int(_) | Self::Text(_) => &[],
        }
    }
}
