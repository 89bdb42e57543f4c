//! The arguments of a command.

use bytes::Bytes;

use fred::types::Value;

/// The arguments of a command, in order. Strings of bytes are shared, not copied.
#[derive(Debug, Default, Clone)]
pub struct Args(pub(super) Vec<Value>);

impl Args {
    /// No arguments yet, with room for `count`.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds bytes without copying them.
    pub fn push(&mut self, bytes: Bytes) -> &mut Self {
        self.0.push(Value::Bytes(bytes));
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Bytes::from(text.into()))
    }

    /// Adds a text that lives as long as the program, without copying it.
    pub fn word(&mut self, text: &'static str) -> &mut Self {
        self.push(Bytes::from_static(text.as_bytes()))
    }

    /// Adds an integer in decimal digits.
    pub fn int(&mut self, number: impl Into<i64>) -> &mut Self {
        self.0.push(Value::Integer(number.into()));
        self
    }

    /// Makes room for `count` more.
    pub fn reserve(&mut self, count: usize) -> &mut Self {
        self.0.reserve(count);
        self
    }

    /// The bytes of one; none when it is a number.
    pub(super) fn bytes(&self, index: usize) -> Option<&[u8]> {
        match self.0.get(index) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// One that is a number, also in digits.
    pub(super) fn number(&self, index: usize) -> Option<i64> {
        match self.0.get(index)? {
            Value::Integer(number) => Some(*number),
            Value::Bytes(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[&str; N]> for Args {
    fn from(words: [&str; N]) -> Self {
        words.into_iter().collect()
    }
}

impl<'a> FromIterator<&'a str> for Args {
    fn from_iter<I: IntoIterator<Item = &'a str>>(words: I) -> Self {
        Self(words.into_iter().map(|word| Value::Bytes(Bytes::from(word.to_owned()))).collect())
    }
}
