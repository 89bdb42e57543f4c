//! Whether the relays can have all of their connections at once: with too few, nothing may be
//! delivered at all.

use tokio_postgres::Client;

use super::finding::{Findings, advice};
use super::session::looking;
use crate::config::Config;
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::{CONNECTIONS_AROUND, CONNECTIONS_BEYOND};
use outflow_connect::postgres::Server;
use outflow_connect::postgres::connect;
use outflow_core::fault::FaultKind;

const ABOUT: &str = "postgres";
/// So many are opened in earnest; that there is room for more is read from the server's settings.
const OPENED_MAX: usize = 32;

pub(super) async fn check(
    client: &Client,
    server: &Server,
    config: &Config,
    findings: &mut Findings,
) {
    // The others are the pooler's.
    let (is_pooled, around) = (config.control.is_some(), CONNECTIONS_AROUND);
    let of_outbox = |outbox: &OutboxOptions| {
        if is_pooled { around } else { outbox.in_flight + CONNECTIONS_BEYOND }
    };
    let needed: usize = config.outboxes.iter().map(of_outbox).sum();
    let asked = looking(client, client.query_one(include_str!("sql/connections.sql"), &[])).await;
    let (free, relays) = match asked {
        Ok(row) => {
            (usize::try_from(row.get::<_, i64>("free")).unwrap_or(0), row.get::<_, i64>("relays"))
        }
        Err(_not_told) => (usize::MAX, 0),
    };
    // This session counts too, and ends.
    let mut short = (free.saturating_add(1) < needed).then(|| format!("room for {}", free + 1));
    let mut sessions = Vec::new();
    while short.is_none() && sessions.len() + 1 < needed.min(OPENED_MAX) {
        match connect(server).await {
            Ok(session) => sessions.push(session),
            Err(error) => {
                short =
                    Some(format!("{} could be opened; then: {}", sessions.len() + 1, error.what()));
            }
        }
    }
    drop(sessions);
    let Some(short) = short else {
        return findings
            .ok(ABOUT, format!("Postgres has room for the {needed} connections of a relay"));
    };
    let each = if is_pooled {
        format!("{around} for each outbox go around the pooler")
    } else {
        format!("in_flight + {CONNECTIONS_BEYOND} for each outbox")
    };
    let what = format!("a relay needs {needed} connections ({each}): {short}");
    let remedy = advice(
        "raise the role's connection limit (alter role … connection limit …) or max_connections \
            (which takes a restart of Postgres), or lower in_flight",
    );
    if relays > 0 {
        // Those that are at work have theirs.
        findings.warning(
            ABOUT,
            format!("{what}; the running relays leave no room for another one"),
            remedy,
        );
    } else {
        findings.wrong(FaultKind::Unavailable, ABOUT, what, remedy);
    }
}
