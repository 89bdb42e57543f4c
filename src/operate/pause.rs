//! Pausing outboxes and streams, and resuming them. The pauses are rows of `outflow.pause`, which
//! every relay reads.

pub mod given;
mod which;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use crate::operate::audit::{COLUMNS, Who};
use crate::operate::connect::failed;
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::pauses;
use crate::relay::pause::{Pause, Pauses};
use outflow_connect::postgres::describe;
use outflow_core::fault::{Fault, FaultKind};

pub use which::{chosen, unknown_stream, writers};

/// Pauses that one outbox may have: its relays keep them in memory.
pub const PAUSES_MAX: i64 = 1_000;
/// Bytes of a stream's name: more do not fit into the index.
pub const STREAM_BYTES_MAX: usize = 2_000;
/// Characters of a reason.
pub const WHY_CHARS_MAX: usize = 500;

/// A registered outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    outbox: String,
    oid: u32,
}

/// What is to be paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The stream; `None`: the whole outbox.
    pub stream: Option<String>,
    /// The reason.
    pub why: String,
    /// After which it ends by itself, by the clock of the database.
    pub length: Option<Duration>,
}

/// A pause of an outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PauseOf {
    /// The outbox.
    pub outbox: String,
    /// The pause.
    #[serde(flatten)]
    pub pause: Pause,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is paused; before, it was by another pause, which is replaced, or not at all.
    Paused(Box<PauseOf>, Option<Box<Pause>>),
    /// The outbox has [`PAUSES_MAX`] pauses already.
    TooMany(String),
}

/// These outboxes as they are registered, or the first that is not.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn targets(
    client: &Client,
    outboxes: &[&OutboxOptions],
) -> Result<Result<Vec<Target>, String>, Error> {
    let schemas: Vec<&str> = outboxes.iter().map(|outbox| outbox.table.schema()).collect();
    let tables: Vec<&str> = outboxes.iter().map(|outbox| outbox.table.table()).collect();
    let rows = client
        .query_typed(
            include_str!("pause/sql/registered.sql"),
            &[(&schemas, Type::TEXT_ARRAY), (&tables, Type::TEXT_ARRAY)],
        )
        .await?;
    let mut found = Vec::new();
    for (n, outbox) in (1..).zip(outboxes) {
        let row = rows.iter().find(|row| row.get::<_, i32>("n") == n);
        let Some(row) = row else { return Ok(Err(outbox.table.to_string())) };
        found.push(Target { outbox: outbox.name.clone(), oid: row.get("relation") });
    }
    Ok(Ok(found))
}

/// Pauses all of these or none.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn pause(
    client: &Client,
    targets: &[Target],
    request: &Request,
    who: &Who,
) -> Result<Vec<Outcome>, Error> {
    let (oids, names) = split(targets);
    let Who { via, operator, os_user, host } = who;
    let user = who.name();
    let stream = request.stream.clone().unwrap_or_default();
    let seconds = request.length.map(|length| length.as_secs_f64());
    let rows = client
        .query_typed(
            include_str!("pause/sql/pause.sql"),
            &[
                (&oids, Type::OID_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&stream, Type::TEXT),
                (&request.why, Type::TEXT),
                (&seconds, Type::FLOAT8),
                (&user, Type::TEXT),
                (host, Type::TEXT),
                (&PAUSES_MAX, Type::INT8),
                (os_user, Type::TEXT),
                (via, Type::TEXT),
                (operator, Type::TEXT),
            ],
        )
        .await?;
    let outcome = |row: &Row| {
        let outbox: String = row.get("outbox");
        let Some(since) = row.get::<_, Option<Timestamp>>("since") else {
            return Outcome::TooMany(outbox);
        };
        let pause = Pause {
            stream: request.stream.clone(),
            why: request.why.clone(),
            since,
            until: row.get("until"),
            os_user: user.clone(),
            host: host.clone(),
            role: row.get("role"),
        };
        let before = before(row, request.stream.clone()).map(Box::new);
        Outcome::Paused(Box::new(PauseOf { outbox, pause }), before)
    };
    Ok(rows.iter().map(outcome).collect())
}

fn before(row: &Row, stream: Option<String>) -> Option<Pause> {
    let since = row.get::<_, Option<Timestamp>>("known_since")?;
    Some(Pause {
        stream,
        why: row.get("known_why"),
        since,
        until: row.get("known_until"),
        os_user: row.get("known_os_user"),
        host: row.get("known_host"),
        role: row.get("known_role"),
    })
}

/// Ends these pauses. Returns those that there were, each with whether it was over by itself.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn resume(
    client: &Client,
    targets: &[Target],
    stream: Option<&str>,
    who: &Who,
) -> Result<Vec<(PauseOf, bool)>, Error> {
    let (oids, names) = split(targets);
    let Who { via, operator, os_user, host } = who;
    let rows = client
        .query_typed(
            include_str!("pause/sql/resume.sql"),
            &[
                (&oids, Type::OID_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&stream.unwrap_or_default(), Type::TEXT),
                (os_user, Type::TEXT),
                (host, Type::TEXT),
                (via, Type::TEXT),
                (operator, Type::TEXT),
            ],
        )
        .await?;
    let gone = |row: &Row| {
        let pause = pauses::of_row(row)?;
        Ok((PauseOf { outbox: row.get("outbox"), pause }, row.get("is_over")))
    };
    rows.iter().map(gone).collect()
}

/// What is paused now of these outboxes.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn current(client: &Client, targets: &[Target]) -> Result<Vec<PauseOf>, Error> {
    let mut found = Vec::new();
    for Target { outbox, oid } in targets {
        let pauses: Pauses = pauses::of(client, *oid).await?;
        let named = |pause: &Pause| PauseOf { outbox: outbox.clone(), pause: pause.clone() };
        found.extend(pauses.all().iter().map(named));
    }
    Ok(found)
}

pub(super) fn split(targets: &[Target]) -> (Vec<u32>, Vec<&str>) {
    targets.iter().map(|target| (target.oid, target.outbox.as_str())).unzip()
}

/// As [`targets`], and it is a fault if one is not registered.
///
/// # Errors
/// One is not registered, or Postgres refused or is gone.
pub async fn registered(
    client: &Client,
    outboxes: &[&OutboxOptions],
) -> Result<Vec<Target>, Fault> {
    targets(client, outboxes).await.map_err(refused)?.map_err(|table| {
        Fault::new(FaultKind::Unfit, format!("{table} is not registered"))
            .remedy("run `outflow migrate` with this configuration")
    })
}

/// A statement that failed, with the privileges that it needs.
pub fn refused(error: Error) -> Fault {
    if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return failed(error);
    }
    Fault::failed(format!("nothing was done: {}", describe(&error)))
        .remedy(format!(
            "run grants.sql again, or: grant usage on schema outflow to ROLE; grant select on \
                outflow.outbox to ROLE; grant select, insert, update, delete on outflow.pause to \
                ROLE; grant insert ({COLUMNS}) on outflow.audit to ROLE;",
        ))
        .because(error)
}
