//! The result of an action, shown on the page that the browser is sent to next. Kept here and not
//! in the address, so that nobody can make a link that puts words into the console's mouth.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::access::secret::random_id;

const AGE_MAX: Duration = Duration::from_mins(10);
const NUMBER_MAX: usize = 256;

/// What came of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Whether it was done.
    pub(super) is_done: bool,
    /// What was done, or what went wrong and what to do next.
    pub(super) text: String,
}

impl Said {
    /// It was done.
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self { is_done: true, text: text.into() }
    }

    /// It was not done, or not all of it.
    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self { is_done: false, text: text.into() }
    }
}

/// Results that were not forgotten yet.
#[derive(Default)]
pub(super) struct Board(Mutex<VecDeque<Note>>);

struct Note {
    id: String,
    /// Who gets to see it.
    name: String,
    at: Instant,
    said: Said,
}

impl Board {
    /// Keeps it for whoever has this name. Returns its id; `None`: without random numbers nothing
    /// is shown.
    pub(super) fn put(&self, name: &str, said: Said) -> Option<String> {
        let id = random_id().ok()?;
        let mut notes = self.0.lock();
        notes.retain(|note| note.at.elapsed() < AGE_MAX);
        if notes.len() >= NUMBER_MAX {
            notes.pop_front();
        }
        notes.push_back(Note { id: id.clone(), name: name.to_owned(), at: Instant::now(), said });
        Some(id)
    }

    pub(super) fn get(&self, name: &str, id: &str) -> Option<Said> {
        let notes = self.0.lock();
        let is_meant =
            |note: &&Note| note.id == id && note.name == name && note.at.elapsed() < AGE_MAX;
        notes.iter().find(is_meant).map(|note| note.said.clone())
    }
}
