//! Whether two addresses lead to the same database of the same running server.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Server, not_answered};
use outflow_core::fault::{Fault, FaultKind};

/// Where a session is: the system identifier and the timeline, the database, and which running
/// server it is.
const PLACE: &str = "select \
    (select system_identifier from pg_catalog.pg_control_system()), \
    pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8), \
    pg_catalog.current_database(), \
    pg_catalog.pg_postmaster_start_time()";

/// Verifies that both sessions are in the same database of the same running server. `direct` holds
/// an advisory lock under a random number for a moment, and `other`, which may be a transaction
/// pooler's, must not get it. Copies of a server have the same identifier, so comparing that is
/// not enough.
///
/// # Errors
/// A [`Fault`]. `Unfit`: they are in different databases, or on servers that have nothing to do
/// with each other. `NotReady`: they are in the same database of two servers of one cluster, as
/// during a fail-over. Of other kinds: a server gave no answer.
pub async fn together(
    (direct, server): (&Client, &Server),
    (other, other_server): (&Client, &Server),
) -> Result<(), Fault> {
    let number = fastrand::i64(1..);
    let lock = [(&number as _, Type::INT8)];
    let locked = direct.query_typed("select pg_catalog.pg_advisory_lock($1)", &lock).await;
    locked.map_err(not_answered)?;
    let asked = format!(
        "begin read only; select pg_catalog.pg_try_advisory_xact_lock_shared({number}); rollback"
    );
    let is_apart = first(other, &asked).await.map(|row| row.first().is_some_and(|got| got == "t"));
    let released = direct.query_typed("select pg_catalog.pg_advisory_unlock($1)", &lock).await;
    released.map_err(not_answered)?;
    if !is_apart? {
        return Ok(());
    }
    let (here, there) = (first(direct, PLACE).await?, first(other, PLACE).await?);
    let is_cluster = (here.first(), here.get(2)) == (there.first(), there.get(2));
    let what = format!(
        "{} and {} lead to different databases: {} and {}",
        other_server.key(),
        server.key(),
        in_words(&there),
        in_words(&here)
    );
    Err(if is_cluster {
        Fault::new(FaultKind::NotReady, what).remedy(
            "these are two servers of one cluster, as during a fail-over: let both addresses lead \
                to the one that takes writes",
        )
    } else {
        Fault::new(FaultKind::Unfit, what).remedy(format!(
            "let {} lead to the server behind the pooler, and to the same database",
            server.key()
        ))
    })
}

/// The first row, as texts. Nothing is prepared.
async fn first(client: &Client, sql: &str) -> Result<Vec<String>, Fault> {
    let answer = client.simple_query(sql).await;
    let answer = answer.map_err(not_answered)?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let texts = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect()
    };
    Ok(row.map(texts).unwrap_or_default())
}

fn in_words(place: &[String]) -> String {
    let [system, timeline, database, since] = place else { return "an unknown one".to_owned() };
    format!("{database:?} of system {system} (timeline {timeline}, started {since})")
}
