//! A stream, its dead-letter stream, and the group's state beside it, in one slot of a cluster.

use super::bad::BadSetting;
use outflow_connect::redis::slot;

/// A stream, and the stream for its dead letters. On a Redis cluster both must be in one slot; the
/// streams of one consumer need not be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The stream to read.
    pub stream: String,
    /// The stream for entries that cannot be handled; by default `<stream>.dead`, and on
    /// a cluster `{<stream>}.dead`, which is in the slot of the stream.
    pub dead_letter_stream: Option<String>,
}

impl Source {
    /// A stream with the default dead-letter stream.
    pub fn new(stream: impl Into<String>) -> Self {
        Self { stream: stream.into(), dead_letter_stream: None }
    }

    /// Uses another dead-letter stream.
    #[must_use]
    pub fn dead_letters_to(mut self, stream: impl Into<String>) -> Self {
        self.dead_letter_stream = Some(stream.into());
        self
    }

    /// The name of the dead-letter stream. A default in the slot of the stream, on a cluster.
    pub(crate) fn dead_letter_stream(&self, is_cluster: bool) -> String {
        let default = || {
            let plain = format!("{}.dead", self.stream);
            if is_cluster && slot(&plain) != slot(&self.stream) {
                format!("{{{}}}.dead", self.stream)
            } else {
                plain
            }
        };
        self.dead_letter_stream.clone().unwrap_or_else(default)
    }

    /// A hash of the group's beside the stream: `keys`, in which read.lua remembers what is being
    /// worked on, or `state`.
    pub(crate) fn beside(&self, group: &str, what: &str, is_cluster: bool) -> String {
        let (stream, plain) = (&self.stream, format!("{}.{group}.{what}", self.stream));
        if is_cluster && slot(&plain) != slot(stream) {
            format!("{{{stream}}}.{group}.{what}")
        } else {
            plain
        }
    }

    /// Checks what only a cluster demands: one script must not need keys of different slots.
    pub(crate) fn check_slots(&self, group: &str) -> Result<(), BadSetting> {
        let (stream, dead) = (&self.stream, self.dead_letter_stream(true));
        if slot(&self.beside(group, "keys", true)) != slot(stream) {
            return Err(BadSetting {
                name: "stream",
                value: format!("{stream:?}"),
                expected: "on a Redis cluster, a name without braces, or one with a hash tag such \
                           as {events}.order"
                    .to_owned(),
            });
        }
        if slot(&dead) != slot(stream) {
            let better = Self::new(stream).dead_letter_stream(true);
            return Err(BadSetting {
                name: "dead_letter_stream",
                value: format!("{dead:?}, in another slot of the Redis cluster than {stream:?}"),
                expected: format!("a name in the same slot, such as {better:?}"),
            });
        }
        Ok(())
    }
}

impl From<&str> for Source {
    fn from(stream: &str) -> Self {
        Self::new(stream)
    }
}

impl From<String> for Source {
    fn from(stream: String) -> Self {
        Self::new(stream)
    }
}

impl From<&String> for Source {
    fn from(stream: &String) -> Self {
        Self::new(stream)
    }
}
