//! An event's id, as text for people and as the UUID that an inbox keeps.

use std::fmt;

use uuid::Uuid;

/// Ids that are no UUIDs become UUIDs of version 5 in this namespace. Must never change: inboxes
/// have rows with them.
const NAMESPACE: Uuid = Uuid::from_u128(0x1f0c_6e2a_52d1_4b6b_9c0e_7a64_8f2b_3d95);

/// The id by which repetitions of an event are recognized: a UUID, or whatever the outbox's id
/// column holds, as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(String);

impl EventId {
    /// The text, as it stands in the entry.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What an [`Inbox`](super::Inbox) keeps: the id itself if it is a UUID, and otherwise a UUID
    /// of version 5 made of it, the same for the same id.
    pub fn as_uuid(&self) -> Uuid {
        self.0.parse().unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, self.0.as_bytes()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for EventId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for EventId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

impl PartialEq<str> for EventId {
    fn eq(&self, text: &str) -> bool {
        self.0 == text
    }
}

#[cfg(test)]
mod tests {
    use super::{EventId, Uuid};

    #[test]
    fn every_id_has_one_uuid() {
        let id = Uuid::now_v7();
        assert_eq!(EventId::from(id).as_uuid(), id);
        // Pinned: rows of inboxes depend on it.
        let seven = EventId::from("7").as_uuid();
        assert_eq!(seven.to_string(), "a497da7d-efde-5d53-b70f-743a327c981c");
        assert_ne!(EventId::from("8").as_uuid(), seven);
    }
}
