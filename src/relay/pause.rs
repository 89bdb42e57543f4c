//! Pauses: what people have asked the relay not to deliver for now. Pure.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use outflow_core::escape::printable;

/// One pause, as `outflow pause` wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// The paused stream; `None`: the whole outbox.
    pub stream: Option<String>,
    /// The reason, in the words of who paused it.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself; `None`: when somebody resumes it.
    pub until: Option<Timestamp>,
    /// The user of the operating system who paused it.
    pub os_user: String,
    /// On which host.
    pub host: String,
    /// With which role in Postgres.
    pub role: String,
}

/// Columns of a pause in words: more than a reason may have.
const COLUMNS: usize = 1_000;

/// `since … by … until …: why`, in one line that acts on no terminal.
impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { why, since, until, os_user, host, role, .. } = self;
        let until = until.map_or_else(|| "resumed".to_owned(), |until| format!("{until:.0}"));
        let text =
            format!("since {since:.0} by {os_user} on {host} (role {role}) until {until}: {why}");
        f.write_str(&printable(&text, COLUMNS))
    }
}

/// What is paused of one outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses(Vec<Pause>);

impl Pauses {
    /// These, each stream at most once.
    pub fn new(pauses: Vec<Pause>) -> Self {
        Self(pauses)
    }

    /// All of them: the whole outbox first, then the streams.
    pub fn all(&self) -> &[Pause] {
        &self.0
    }

    /// The pause of the whole outbox.
    pub fn of_outbox(&self) -> Option<&Pause> {
        self.0.iter().find(|pause| pause.stream.is_none())
    }

    /// Whether this stream is paused by itself.
    pub fn has(&self, stream: &str) -> bool {
        self.streams().any(|paused| paused == stream)
    }

    /// The streams that are paused by themselves.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|pause| pause.stream.as_deref())
    }
}
