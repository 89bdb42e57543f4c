//! Which Postgres the copies of the positions were written in, and what it has in common with the
//! one before it. Pure.
//!
//! A Postgres that was restored gives transaction numbers out again. So a position says nothing in
//! it beyond the point at which the two part, and Redis may come back with such a position long
//! after.

use std::fmt;

use super::snapshot::Snapshot;

/// Written with the copies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct History {
    /// In which Postgres (`healing::server`).
    pub server: String,
    /// Which one it was before it was restored or failed over, if that is known to have happened.
    pub before: Option<Before>,
}

/// The Postgres before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Before {
    /// Which one.
    pub server: String,
    /// Transactions that are the same in both.
    pub shared: Snapshot,
}

impl History {
    /// Parses what [`Display`](fmt::Display) prints; `None` if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let (server, before) = match text.split('|').collect::<Vec<_>>()[..] {
            [server] => (server, None),
            [server, before, shared] => (server, Some((before, Snapshot::parse(shared).ok()?))),
            _ => return None,
        };
        let before = before.map(|(server, shared)| Before { server: server.to_owned(), shared });
        Some(Self { server: server.to_owned(), before })
    }
}

/// `server`, or `server|before|shared`.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)?;
        match &self.before {
            Some(Before { server, shared }) => write!(f, "|{server}|{shared}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        for text in ["system 7, timeline 1", "system 7, timeline 2|system 7, timeline 1|3:9:4"] {
            let history = History::parse(text).expect(text);
            assert_eq!(history.to_string(), text);
        }
        assert_eq!(History::parse("a|b"), None);
        assert_eq!(History::parse("a|b|c"), None);
    }
}
