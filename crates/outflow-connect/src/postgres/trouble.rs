//! Whose fault an error of Postgres is, by its SQLSTATE, and so what to do with the work that met
//! it.

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use super::is_insecure;

/// What to do with a piece of work (the handling of an event, say) that met an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The server is away, full, read-only, or not set up as the program needs it (a missing table,
    /// a missing grant): the work is not to blame, and other work would meet the same. Wait until
    /// it is mended, however long that takes.
    Wait,
    /// Somebody or something was in the way of this work: a lock, a deadlock, a statement that took
    /// too long. It is not to blame and is tried again after a pause, however often; other work may
    /// go on meanwhile.
    Conflict,
    /// It may go better another time, or never: worth a few attempts.
    Retry,
    /// The data is refused, and will be each time.
    DeadLetter,
}

/// Whose fault an error is. One without an SQLSTATE says that the connection did not come about or
/// broke ([`Trouble::Wait`]), or that a value could not be sent or read ([`Trouble::Retry`]).
pub fn classify(error: &tokio_postgres::Error) -> Trouble {
    if let Some(state) = error.code() {
        return if is_partition_missing(error) {
            Trouble::Conflict
        } else {
            classify_state(state.code())
        };
    }
    let broken = error.is_closed()
        || error.source().is_some_and(<dyn std::error::Error + 'static>::is::<std::io::Error>);
    if broken || is_insecure(error) { Trouble::Wait } else { Trouble::Retry }
}

/// Whether a partition is missing for a row: Postgres says so with the SQLSTATE of a check that the
/// row does not pass, but names a table and no constraint. The partition is somebody's to make, and
/// rows of other partitions go on.
fn is_partition_missing(error: &tokio_postgres::Error) -> bool {
    let is_check = error.code() == Some(&SqlState::CHECK_VIOLATION);
    is_check
        && error
            .as_db_error()
            .is_some_and(|error| error.table().is_some() && error.constraint().is_none())
}

/// As [`classify`], for an SQLSTATE: five characters, of which the first two are its class
/// (Appendix A of the manual).
///
/// An SQLSTATE that is not known, such as one of a trigger's own, is worth a few attempts.
pub fn classify_state(state: &str) -> Trouble {
    // Single states that do not follow their class.
    match state {
        // A read-only server, a session that was ended for being idle, a foreign server that cannot
        // be reached; data on disk that is damaged, where writing on makes it worse (the rest of XX
        // is mostly a race with somebody's DDL).
        "25006" | "25P03" | "HV00N" | "XX001" | "XX002" => return Trouble::Wait,
        // A transaction or a statement that took too long.
        "25P04" | "57014" | "57000" => return Trouble::Conflict,
        // What it refers to may be on its way; a rival with the same value may give way.
        "23503" | "23505" | "23P01" => return Trouble::Retry,
        _ => {}
    }
    match state.get(..2).unwrap_or_default() {
        // The connection, resources, operators, the system, the configuration; who may log in, and
        // the names that a session starts with; privileges, grants, roles; statements that do not
        // fit the tables or the session (also a plan that was prepared before a migration, 0A000,
        // or behind a transaction pooler, 26000).
        "08" | "53" | "57" | "58" | "F0" | "28" | "3D" | "3F" | "0L" | "0P" | "2B" | "42"
        | "0A" | "03" | "0B" | "24" | "25" | "26" | "2D" | "34" | "3B" => Trouble::Wait,
        // Serialization failures, deadlocks, locks, a snapshot that is too old.
        "40" | "55" | "72" | "XX" => Trouble::Conflict,
        // Data, constraints, check options of views.
        "22" | "23" | "44" => Trouble::DeadLetter,
        // Functions and triggers (P0, 09, 0Z, 20, 2F, 38, 39), limits (54), foreign data (HV), and
        // what has no name.
        _ => Trouble::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::{Trouble, classify_state};

    /// Every class of Appendix A by one or more of its codes.
    #[test]
    fn every_class_is_decided() {
        let table: [(Trouble, &[&str]); 4] = [
            (
                Trouble::Wait,
                &[
                    "03000", "08000", "08003", "08006", "08001", "08004", "08007", "08P01",
                    "0A000", "0B000", "0L000", "0LP01", "0P000", "24000", "25000", "25001",
                    "25006", "25P01", "25P02", "25P03", "26000", "28000", "28P01", "2B000",
                    "2BP01", "2D000", "34000", "3B000", "3B001", "3D000", "3F000", "42000",
                    "42501", "42601", "42703", "42883", "42P01", "42P10", "42804", "42939",
                    "53000", "53100", "53200", "53300", "53400", "57P01", "57P02", "57P03",
                    "57P04", "57P05", "58000", "58030", "58P01", "58P02", "F0000", "F0001",
                    "HV00N", "XX001", "XX002",
                ],
            ),
            (
                Trouble::Conflict,
                &[
                    "25P04", "40000", "40001", "40002", "40003", "40P01", "55000", "55006",
                    "55P02", "55P03", "55P04", "57000", "57014", "72000", "XX000",
                ],
            ),
            (
                Trouble::Retry,
                &[
                    "00000", "01000", "02000", "09000", "0F000", "0Z000", "10608", "20000",
                    "21000", "23503", "23505", "23P01", "27000", "2F000", "2F005", "38000",
                    "39000", "54000", "54001", "54023", "HV000", "HV004", "P0000", "P0001",
                    "P0002", "P0003", "P0004", "U0001", "", "é",
                ],
            ),
            (
                Trouble::DeadLetter,
                &[
                    "22000", "22001", "22003", "22007", "22008", "22012", "22021", "22023",
                    "22P02", "22P05", "2200L", "22030", "2203G", "23000", "23001", "23502",
                    "23514", "44000",
                ],
            ),
        ];
        for (expected, states) in table {
            for state in states {
                assert_eq!(classify_state(state), expected, "{state}");
            }
        }
    }
}
