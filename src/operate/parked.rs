//! Trying a parked stream now. The relays are told by a notification, and one that misses it tries
//! the stream after its pause, as ever.

use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::audit::Who;
use super::connect::untraced;
use super::pause::Target;
use crate::relay::outbox::TRY;
use outflow_core::fault::Fault;

/// Of one outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    /// Its name.
    pub outbox: String,
    /// The stream.
    pub stream: String,
    /// Whether one of its relays has said that it has parked the stream. Relays name a few dozen of
    /// them at most.
    pub is_known_parked: bool,
}

/// Tells the relays of these outboxes to try a stream now, should they have parked it.
///
/// # Errors
/// Postgres refused or is gone: no relay was told.
pub async fn try_now(
    client: &Client,
    targets: &[Target],
    stream: &str,
    who: &Who,
) -> Result<Vec<Asked>, Fault> {
    let (oids, names) = super::pause::split(targets);
    let Who { via, operator, os_user, host } = who;
    let said = format!("{TRY}{stream}");
    let rows = client
        .query_typed(
            include_str!("parked/try_now.sql"),
            &[
                (&oids, Type::OID_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&stream, Type::TEXT),
                (&said, Type::TEXT),
                (os_user, Type::TEXT),
                (host, Type::TEXT),
                (via, Type::TEXT),
                (operator, Type::TEXT),
            ],
        )
        .await;
    let asked = |row: &tokio_postgres::Row| Asked {
        outbox: row.get("outbox"),
        stream: stream.to_owned(),
        is_known_parked: row.get("is_known_parked"),
    };
    Ok(rows.map_err(untraced)?.iter().map(asked).collect())
}
