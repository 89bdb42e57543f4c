//! Dead letters by what they have in common: outbox, reason, stream and type.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

/// Letters that are looked at, the newest ones.
const LOOKED_MAX: i64 = 200_000;
/// Groups that are told.
const GROUPS_MAX: i64 = 200;
/// Bytes of a type that can be asked for again.
const TYPE_MAX: i32 = 300;

/// The dead letters, by what they have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Groups {
    /// The groups, the largest first.
    pub groups: Vec<Group>,
    /// How many groups there are.
    pub groups_found: i64,
    /// How many letters were looked at.
    pub letters: i64,
    /// Whether there may be older ones, which were not looked at.
    pub is_capped: bool,
}

/// Dead letters of one outbox with the same reason, stream and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The outbox that they came from.
    pub outbox: String,
    /// Why they died.
    pub reason: String,
    /// The stream that they were meant for, if that is known.
    pub stream: Option<String>,
    /// What happened; `None`: it is too long to be asked for again.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// How many there are.
    pub letters: i64,
    /// When the first one died.
    pub first_died_at: Timestamp,
    /// When the last one died.
    pub last_died_at: Timestamp,
}

/// Groups the newest dead letters, of all outboxes and with all reasons unless one is given.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn groups(
    client: &Client,
    outbox: Option<&str>,
    reason: Option<&str>,
) -> Result<Groups, Error> {
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
        (&LOOKED_MAX, Type::INT8),
        (&GROUPS_MAX, Type::INT8),
        (&TYPE_MAX, Type::INT4),
        (&outbox, Type::TEXT),
        (&reason, Type::TEXT),
    ];
    let rows = client.query_typed(include_str!("sql/groups.sql"), &params).await?;
    let of_all = |column: &str| rows.first().map_or(0, |row| row.get(column));
    let letters = of_all("looked");
    Ok(Groups {
        groups_found: of_all("groups"),
        letters,
        is_capped: letters >= LOOKED_MAX,
        groups: rows.iter().map(group).collect(),
    })
}

fn group(row: &Row) -> Group {
    Group {
        outbox: row.get("outbox"),
        reason: row.get("reason"),
        stream: row.get("stream"),
        kind: row.get("kind"),
        letters: row.get("letters"),
        first_died_at: row.get("first_died_at"),
        last_died_at: row.get("last_died_at"),
    }
}
