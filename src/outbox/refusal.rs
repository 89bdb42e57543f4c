//! What a statement that failed says: of the row, of the server, or nothing because the session is lost. Pure.

use tokio_postgres::error::{Severity, SqlState};

use super::OutboxError;
use super::identity::refused;
use super::source::ANSWER_LIMIT;

/// Classes of SQLSTATE that a value or what a trigger makes of it can cause: cardinality, data exceptions, integrity,
/// routines, limits (54), PL/pgSQL, internal errors such as a value that cannot be read. Not among them: what is missing or
/// not permitted (42), which is the table's fault and every row's.
const OF_A_ROW: [&str; 9] = ["21", "22", "23", "2F", "38", "39", "54", "P0", "XX"];
/// An index is mended without any loss.
const INDEX_CORRUPTED: &str = "XX002";

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server said so, and the session goes on.
    Said(Said),
    /// Nobody knows what is open.
    Lost(OutboxError),
}

/// The server's answer.
#[derive(Debug, Clone)]
pub(super) struct Said {
    code: Option<SqlState>,
    pub(super) words: String,
}

impl Failed {
    /// The answer, if there is one.
    pub(super) fn said(self) -> Result<Said, Self> {
        match self {
            Self::Said(said) => Ok(said),
            lost @ Self::Lost(_) => Err(lost),
        }
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        // What is no longer there or no longer allowed is every row's fault, and looked at with the table.
        let words = match refused(&error) {
            OutboxError::Postgres(words) => words,
            changed => return Self::Lost(changed),
        };
        let goes_on = |error: &tokio_postgres::error::DbError| {
            !matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        };
        match error.as_db_error() {
            Some(said) if goes_on(said) => Self::Said(Said { code: Some(said.code().clone()), words }),
            Some(_) | None => Self::Lost(OutboxError::Postgres(words)),
        }
    }
}

impl Said {
    /// In words only.
    pub(super) fn only(words: &str) -> Self {
        Self { code: None, words: words.to_owned() }
    }

    /// Whether a row can be the reason.
    pub(super) fn may_be_of_a_row(&self) -> bool {
        let code = self.code.as_ref().map(SqlState::code).unwrap_or_default();
        code != INDEX_CORRUPTED && OF_A_ROW.iter().any(|class| code.starts_with(class))
    }

    /// Whether a claim of fewer rows may be granted: a row is the reason, or it was too much for the server.
    pub(super) fn may_be_too_much(&self) -> bool {
        let code = self.code.as_ref().map(SqlState::code).unwrap_or_default();
        self.may_be_of_a_row() || code == "57014" || (code.starts_with("53") && code != "53300")
    }
}

impl From<Failed> for OutboxError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Said(said) => Self::Postgres(said.words),
            Failed::Lost(error) => error,
        }
    }
}

/// Bounds a statement that only waits for the server.
pub(super) async fn ask<T>(
    statement: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
) -> Result<T, Failed> {
    match tokio::time::timeout(ANSWER_LIMIT, statement).await {
        Ok(outcome) => outcome.map_err(Failed::from),
        Err(_elapsed) => {
            let words = format!("no answer for {} s", ANSWER_LIMIT.as_secs());
            Err(Failed::Lost(OutboxError::Postgres(words)))
        }
    }
}
