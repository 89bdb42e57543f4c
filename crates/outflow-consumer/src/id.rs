//! An entry's id, as Redis orders them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

/// `<milliseconds>-<number>`; later entries of a stream have higher ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// When it was appended, by Redis's clock, in milliseconds since 1970 (unless the producer
    /// chose the id).
    pub ms: u64,
    /// Which one of that millisecond it is.
    pub number: u64,
}

/// A text that is no entry's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an entry's id, such as 1700000000000-0")]
pub struct BadEntryId;

impl EntryId {
    /// When it was appended; `None` for an id that is no time.
    pub fn appended_at(self) -> Option<Timestamp> {
        Timestamp::from_millisecond(i64::try_from(self.ms).ok()?).ok()
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

impl FromStr for EntryId {
    type Err = BadEntryId;

    fn from_str(text: &str) -> Result<Self, BadEntryId> {
        let (ms, number) = text.split_once('-').ok_or(BadEntryId)?;
        Ok(Self {
            ms: ms.parse().or(Err(BadEntryId))?,
            number: number.parse().or(Err(BadEntryId))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::EntryId;

    #[test]
    fn ids_are_ordered_as_numbers() {
        let id = |text: &str| text.parse::<EntryId>().expect(text);
        assert!(id("9-0") < id("10-0") && id("10-2") < id("10-10"));
        assert_eq!(id("1700000000000-7").to_string(), "1700000000000-7");
        for text in ["", "1", "1-", "-1", "a-b", "1-2-3"] {
            assert!(text.parse::<EntryId>().is_err(), "{text:?}");
        }
    }
}
