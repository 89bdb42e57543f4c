//! Why an event was not written, and what the caller can do.

use std::error::Error;

/// Why an event was not written. `E` is the driver's error.
///
/// After every error but [`WriteError::Payload`] the transaction can only be rolled back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError<E: Error + 'static> {
    /// The payload could not be serialized. Nothing was sent, and the transaction can go on.
    #[error("cannot serialize the payload of the event: {0}")]
    Payload(#[source] serde_json::Error),

    /// Postgres refused the event, or cannot be reached.
    #[error("cannot write the event to {table}: {reason}{}", remedy(.sqlstate.as_deref()))]
    #[non_exhaustive]
    Database {
        /// The table's name, quoted as in SQL.
        table: String,
        /// The server's message, or the driver's if the server sent none. Contains no row.
        reason: String,
        /// The server's SQLSTATE, if the server answered.
        sqlstate: Option<String>,
        /// The driver's error.
        source: E,
        #[doc(hidden)]
        kind: WriteErrorKind,
    },

    /// The insert succeeded, but a trigger or a rule of the table discarded rows.
    #[error(
        "cannot write the event to {table}: a trigger or a rule of the table discarded \
         {discarded} of {events} rows; remove it, or let it return the row"
    )]
    #[non_exhaustive]
    Discarded {
        /// The table's name, quoted as in SQL.
        table: String,
        /// Number of events to write.
        events: usize,
        /// Number of events that are not in the table.
        discarded: usize,
    },
}

/// What kind of fault prevented a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WriteErrorKind {
    /// The event itself: it cannot be serialized, or Postgres refuses its values (SQLSTATE classes
    /// 22, 23 and 44). Repeating the transaction with the same event fails again.
    Event,
    /// The table, its columns or the role's privileges do not fit (classes 28, 3D, 3F, 42), or a
    /// trigger discards the rows. Somebody must mend the database.
    Setup,
    /// Another session was in the way: a serialization failure, a deadlock, a lock or a statement
    /// that took too long (classes 40 and 55, 57014). Repeat the transaction.
    Conflict,
    /// The server or the connection is unavailable, full or read-only (classes 08, 53, 57P, 58,
    /// 25006, or no SQLSTATE). Repeat the transaction later.
    Unavailable,
    /// Anything else, such as a trigger's own error or a transaction that had failed already.
    Other,
}

impl<E: Error + 'static> WriteError<E> {
    /// What kind of fault it is.
    pub fn kind(&self) -> WriteErrorKind {
        match self {
            Self::Payload(_) => WriteErrorKind::Event,
            Self::Database { kind, .. } => *kind,
            Self::Discarded { .. } => WriteErrorKind::Setup,
        }
    }

    /// Whether repeating the whole transaction can succeed without any change to the event or the
    /// database: [`WriteErrorKind::Conflict`] and [`WriteErrorKind::Unavailable`].
    pub fn is_retriable(&self) -> bool {
        match self.kind() {
            WriteErrorKind::Conflict | WriteErrorKind::Unavailable => true,
            WriteErrorKind::Event | WriteErrorKind::Setup | WriteErrorKind::Other => false,
        }
    }

    /// The server's SQLSTATE, if the server answered.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database { sqlstate, .. } => sqlstate.as_deref(),
            Self::Payload(_) | Self::Discarded { .. } => None,
        }
    }

    pub(crate) fn of_database(table: &str, said: Said, source: E) -> Self {
        let (table, kind) = (table.to_owned(), said.kind());
        let reason = match said.detail.filter(|_| is_detail_harmless(said.sqlstate.as_deref())) {
            Some(detail) => format!("{} ({detail})", said.message),
            None => said.message,
        };
        Self::Database { table, reason, sqlstate: said.sqlstate, source, kind }
    }

    /// Checks the number of rows that an insert reports.
    pub(crate) fn check(table: &str, events: usize, written: u64) -> Result<(), Self> {
        let discarded = events.saturating_sub(usize::try_from(written).unwrap_or(usize::MAX));
        if discarded == 0 {
            return Ok(());
        }
        Err(Self::Discarded { table: table.to_owned(), events, discarded })
    }
}

/// What a driver tells about an error.
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) sqlstate: Option<String>,
    /// Whether the connection broke, or could not be had.
    pub(crate) is_unreachable: bool,
}

impl Said {
    /// For an error that the server did not send: the message of the error and of its causes.
    pub(crate) fn by_driver(error: &dyn Error, is_unreachable: bool) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some errors repeat their cause in their own text.
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Self { message, detail: None, sqlstate: None, is_unreachable }
    }

    fn kind(&self) -> WriteErrorKind {
        match &self.sqlstate {
            Some(state) => kind_of(state),
            None if self.is_unreachable => WriteErrorKind::Unavailable,
            None => WriteErrorKind::Other,
        }
    }
}

/// Appendix A of the Postgres manual: the first two characters are a class.
fn kind_of(sqlstate: &str) -> WriteErrorKind {
    match sqlstate {
        // A read-only server.
        "25006" => return WriteErrorKind::Unavailable,
        // A statement that was canceled or took too long.
        "57014" => return WriteErrorKind::Conflict,
        _ => {}
    }
    match sqlstate.get(..2).unwrap_or_default() {
        "22" | "23" | "44" => WriteErrorKind::Event,
        "28" | "3D" | "3F" | "42" => WriteErrorKind::Setup,
        "40" | "55" => WriteErrorKind::Conflict,
        "08" | "53" | "57" | "58" => WriteErrorKind::Unavailable,
        _ => WriteErrorKind::Other,
    }
}

/// Details name the character of a text that Postgres cannot store. Those of other errors repeat
/// the row, and payloads do not belong in logs.
fn is_detail_harmless(sqlstate: Option<&str>) -> bool {
    sqlstate == Some("22P05")
}

/// What to do, where the server's message does not say it.
fn remedy(sqlstate: Option<&str>) -> &'static str {
    match sqlstate {
        Some("42P01" | "3F000") => "; create it with `outflow migrate`",
        Some("42501") => "; grant the application's role `insert` on the table",
        Some("42703") => "; the table must have the columns of Outflow's default table",
        Some("26000") => "; prepare the statement on the connection of the transaction",
        Some("22P05") => "; remove the character from the payload",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_decide_what_a_caller_can_do() {
        let table = [
            ("22P05", WriteErrorKind::Event),
            ("22003", WriteErrorKind::Event),
            ("23505", WriteErrorKind::Event),
            ("44000", WriteErrorKind::Event),
            ("42P01", WriteErrorKind::Setup),
            ("42501", WriteErrorKind::Setup),
            ("3F000", WriteErrorKind::Setup),
            ("40001", WriteErrorKind::Conflict),
            ("40P01", WriteErrorKind::Conflict),
            ("55P03", WriteErrorKind::Conflict),
            ("57014", WriteErrorKind::Conflict),
            ("57P01", WriteErrorKind::Unavailable),
            ("53100", WriteErrorKind::Unavailable),
            ("08006", WriteErrorKind::Unavailable),
            ("25006", WriteErrorKind::Unavailable),
            ("25P02", WriteErrorKind::Other),
            ("P0001", WriteErrorKind::Other),
            ("", WriteErrorKind::Other),
            ("é", WriteErrorKind::Other),
        ];
        for (state, expected) in table {
            assert_eq!(kind_of(state), expected, "{state}");
        }
    }

    #[test]
    fn only_rows_that_are_in_the_table_count_as_written() {
        type Check = WriteError<std::io::Error>;
        assert!(Check::check("t", 2, 2).is_ok());
        let error = Check::check("t", 3, 1).expect_err("two are missing");
        assert!(error.to_string().contains("discarded 2 of 3 rows"), "{error}");
        assert_eq!(error.kind(), WriteErrorKind::Setup);
        assert!(!error.is_retriable());
    }
}
