//! What is handled in order.

use std::sync::Arc;

use crate::id::EntryId;

/// What is handled in order: the entries of one key of one stream, or an entry without a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// A stream, by its number, and a key.
    Key(usize, Arc<[u8]>),
    /// An entry that has no key.
    Alone(usize, EntryId),
}

impl Lane {
    pub(crate) fn of(stream: usize, key: impl AsRef<[u8]>, id: EntryId) -> Self {
        let key = key.as_ref();
        if key.is_empty() { Self::Alone(stream, id) } else { Self::Key(stream, key.into()) }
    }

    pub(crate) fn stream(&self) -> usize {
        match self {
            Self::Key(stream, _) | Self::Alone(stream, _) => *stream,
        }
    }
}
