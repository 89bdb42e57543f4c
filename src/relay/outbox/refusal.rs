//! What a statement that failed says: of the row, of the server, or nothing because the session is
//! lost. Pure.

use std::time::Duration;

use tokio_postgres::error::{Severity, SqlState};

use super::OutboxError;
use outflow_connect::postgres::describe;

/// Longer than the statement timeout of the sessions: what still has no answer then has lost its
/// server.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// A statement that took too long, or that somebody has cancelled.
const CANCELED: &str = "57014";
/// Classes of SQLSTATE that a value or what a trigger makes of it can cause: cardinality, data
/// exceptions, integrity, routines, limits (54), PL/pgSQL, internal errors such as a value that
/// cannot be read. Not among them: what is missing or not permitted (42), which is the table's
/// fault and every row's.
const OF_A_ROW: [&str; 9] = ["21", "22", "23", "2F", "38", "39", "54", "P0", "XX"];
/// An index is mended without any loss.
const INDEX_CORRUPTED: &str = "XX002";
/// Classes of what passes by itself (conflicts, resources, locks, a stop, the system below): never
/// a reason to give a row up.
const PASSING: [&str; 5] = ["40", "53", "55", "57", "58"];

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
    /// A trigger's or another routine's statement said so: whatever its code is, it may be about
    /// one row.
    in_routine: bool,
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

    /// As the error of a step of which nothing is left, so that it can be tried again.
    pub(super) fn refused(self) -> OutboxError {
        match self {
            Self::Said(said) => OutboxError::Refused(said.words),
            Self::Lost(error) => error,
        }
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        let said = error.as_db_error();
        let goes_on = said.is_some_and(|said| {
            !matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        });
        let in_routine = said.is_some_and(|said| said.where_().is_some());
        let words = match failed(&error) {
            OutboxError::Postgres(words) => words,
            // A routine may miss something for one row only.
            OutboxError::Changed(words) if in_routine => words,
            // What is no longer there or no longer allowed is every row's fault, and looked at with
            // the table.
            changed => return Self::Lost(changed),
        };
        match said.filter(|_| goes_on) {
            Some(said) => Self::Said(Said { code: Some(said.code().clone()), in_routine, words }),
            None => Self::Lost(OutboxError::Postgres(words)),
        }
    }
}

impl Said {
    /// In words only.
    pub(super) fn only(words: &str) -> Self {
        Self { code: None, in_routine: false, words: words.to_owned() }
    }

    /// Whether what is in a row can be the reason, for good.
    pub(super) fn may_be_of_a_row(&self) -> bool {
        let code = self.code();
        let is_of = |classes: &[&str]| classes.iter().any(|class| code.starts_with(class));
        code != INDEX_CORRUPTED && (is_of(&OF_A_ROW) || (self.in_routine && !is_of(&PASSING)))
    }

    /// Whether a claim of fewer rows may be granted: a row is the reason, or something that it
    /// waits for, or it was too much for the server.
    pub(super) fn may_be_too_much(&self) -> bool {
        let code = self.code();
        self.may_be_of_a_row()
            || self.in_routine
            || matches!(code, CANCELED | "55P03")
            || (code.starts_with("53") && code != "53300")
    }

    /// Whether the statement took too long, or was cancelled.
    pub(super) fn was_cut_off(&self) -> bool {
        self.code() == CANCELED
    }

    /// Whether a trigger's or another routine's statement said so.
    pub(super) fn is_of_a_routine(&self) -> bool {
        self.in_routine
    }

    fn code(&self) -> &str {
        self.code.as_ref().map(SqlState::code).unwrap_or_default()
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

/// Whether a statement that used to work says that what it names is no longer there, no longer of
/// its type, or no longer allowed. Class 42 is that, 3F a schema; 0A000 is a statement that would
/// return other types than when it was prepared.
pub(super) fn failed(error: &tokio_postgres::Error) -> OutboxError {
    let is_of_the_table = error.code().is_some_and(|code| {
        let class = code.code().get(..2).unwrap_or_default();
        matches!(class, "42" | "3F") || *code == SqlState::FEATURE_NOT_SUPPORTED
    });
    let words = describe(error);
    if is_of_the_table { OutboxError::Changed(words) } else { OutboxError::Postgres(words) }
}

/// Bounds a step that only waits for the server.
pub(super) async fn within<T>(
    step: impl Future<Output = Result<T, OutboxError>> + Send,
) -> Result<T, OutboxError> {
    match tokio::time::timeout(ANSWER_LIMIT, step).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            Err(OutboxError::Postgres(format!("no answer for {} s", ANSWER_LIMIT.as_secs())))
        }
    }
}

/// Bounds a statement that only waits for the server.
pub(super) async fn ask<T>(
    statement: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
) -> Result<T, Failed> {
    match tokio::time::timeout(ANSWER_LIMIT, statement).await {
        Ok(outcome) => outcome.map_err(Failed::from),
        Err(_elapsed) => Err(no_answer(ANSWER_LIMIT)),
    }
}

/// Bounds a look that may take longer than others.
pub(super) async fn ask_for<T>(
    limit: Duration,
    look: impl Future<Output = Result<T, Failed>> + Send,
) -> Result<T, Failed> {
    match tokio::time::timeout(limit, look).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(no_answer(limit)),
    }
}

fn no_answer(limit: Duration) -> Failed {
    Failed::Lost(OutboxError::Postgres(format!("no answer for {} s", limit.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_never_gives_a_row_up_and_what_a_routine_says_may_be_about_one() {
        // code, said by a routine, may be of a row, may be too much
        let table = [
            ("22P02", false, true, true),
            ("54000", false, true, true),
            ("XX001", false, true, true),
            ("XX002", false, false, false),
            ("57014", false, false, true),
            ("57014", true, false, true),
            ("55P03", false, false, true),
            ("53200", false, false, true),
            ("53300", false, false, false),
            ("40P01", false, false, false),
            ("40P01", true, false, true),
            ("42501", true, true, true),
            ("ZZ001", true, true, true),
            ("ZZ001", false, false, false),
        ];
        for (code, in_routine, of_a_row, too_much) in table {
            let said =
                Said { code: Some(SqlState::from_code(code)), in_routine, words: String::new() };
            assert_eq!(
                (said.may_be_of_a_row(), said.may_be_too_much()),
                (of_a_row, too_much),
                "{code} {in_routine}"
            );
        }
    }
}
