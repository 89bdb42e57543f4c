//! An error of Postgres as a [`Fault`]: in the server's own words, with the error underneath.

use outflow_core::fault::{Fault, FaultKind};
use tokio_postgres::error::SqlState;

use super::describe;

/// A statement failed, and with it the work that it was for.
pub fn failed(error: tokio_postgres::Error) -> Fault {
    Fault::failed(describe(&error)).because(error)
}

/// Postgres gives no answer now, or no session. The kind is one that may pass: the server is
/// starting or stopping (`NotReady`), it answers and cannot do it now (`Unavailable`), or nothing
/// answers (`Unreachable`).
pub fn not_answered(error: tokio_postgres::Error) -> Fault {
    let kind = kind(error.code().map(SqlState::code));
    Fault::new(kind, describe(&error)).because(error)
}

/// By SQLSTATE; none if the server did not say it.
fn kind(state: Option<&str>) -> FaultKind {
    match state {
        // A connection exception: a pooler that does not reach its server says so too.
        Some(state) if state.starts_with("08") => FaultKind::Unreachable,
        // Operator intervention: it starts or stops. A statement that took too long is none.
        Some(state) if state.starts_with("57P") => FaultKind::NotReady,
        Some(_) => FaultKind::Unavailable,
        None => FaultKind::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_answers_is_not_called_unreachable() {
        let table = [
            (Some("57P03"), FaultKind::NotReady),
            (Some("57P01"), FaultKind::NotReady),
            (Some("53300"), FaultKind::Unavailable),
            (Some("55000"), FaultKind::Unavailable),
            (Some("42501"), FaultKind::Unavailable),
            (Some("55P03"), FaultKind::Unavailable),
            (Some("57014"), FaultKind::Unavailable),
            (Some("XX000"), FaultKind::Unavailable),
            (Some("08006"), FaultKind::Unreachable),
            (None, FaultKind::Unreachable),
        ];
        for (state, expected) in table {
            let found = kind(state);
            assert_eq!(found, expected, "{state:?}");
            assert!(found.may_pass(), "{state:?}");
        }
    }
}
