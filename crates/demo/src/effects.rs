//! What the consumer did, read from its tables, and how much is left in the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio_postgres::Client;
use tokio_util::task::AbortOnDropHandle;

use super::GROUP;
use super::ledger::Ledger;
use outflow_connect::postgres;

/// An inbox row can become visible after a later one, by as long as a transaction of the consumer
/// takes. Those that took longer are found by a [new start](Effects::start_over).
const OVERLAP: Duration = Duration::from_secs(5);
/// Counting further would slow down the servers that are watched.
const BACKLOG_MAX: i64 = 100_000;

const HANDLED: &str = include_str!("sql/handled.sql");
const BACKLOG: &str = "select count(*) from (select from public.outbox limit $1) as rows";
const KEPT: &str = "select count(*) from public.outbox";
/// Whether the relay has noted all of its position since then.
const NOTED: &str = "select count(*) > 0 and min(copied_at) >= $1 from outflow.position";
const UNSETTLED: &str = include_str!("sql/unsettled.sql");
const UNBALANCED: &str = include_str!("sql/unbalanced.sql");
const INVENTORY: &str = "select sku, reserved from orders.inventory where reserved <> 0";

/// A reader of the consumer's tables, which connects anew after an outage.
pub(super) struct Effects {
    url: String,
    /// Whether rows stay in the outbox.
    kept: bool,
    session: Option<Session>,
    since: Timestamp,
}

struct Session {
    client: Client,
    _driver: AbortOnDropHandle<Result<(), tokio_postgres::Error>>,
}

impl Effects {
    pub(super) fn new(url: String, kept: bool) -> Self {
        Self { url, kept, session: None, since: Timestamp::UNIX_EPOCH }
    }

    /// The next [`refresh`](Self::refresh) reads all that was ever handled.
    pub(super) fn start_over(&mut self) {
        self.since = Timestamp::UNIX_EPOCH;
    }

    /// Reports what was handled since the last call, and returns how many events are still to be
    /// relayed: rows in the outbox (at most 100,000), or if rows stay, those that the streams do
    /// not have.
    ///
    /// # Errors
    /// The server's words; the next call connects again.
    pub(super) async fn refresh(&mut self, ledger: &Arc<Mutex<Ledger>>) -> Result<i64, String> {
        let (since, kept) = (self.since, self.kept);
        let client = self.client().await?;
        let handled = client
            .query(HANDLED, &[&GROUP, &since])
            .await
            .map_err(|error| postgres::describe(&error))?;
        let backlog = if kept {
            client.query_one(KEPT, &[]).await
        } else {
            client.query_one(BACKLOG, &[&BACKLOG_MAX]).await
        };
        let rows: i64 = backlog.map_err(|error| postgres::describe(&error))?.get(0);
        if let Some(last) = handled.last() {
            let last: Timestamp = last.get(1);
            self.since = last.checked_sub(OVERLAP).unwrap_or(last);
        }
        let mut ledger = ledger.lock();
        for row in &handled {
            ledger.consume(row.get(0));
        }
        let relayed = if kept { i64::try_from(ledger.events()).unwrap_or(i64::MAX) } else { 0 };
        Ok(rows.saturating_sub(relayed).max(0))
    }

    /// Whether the relay's note of its position in Postgres is at least from then.
    ///
    /// # Errors
    /// The server's words.
    pub(super) async fn is_noted(&mut self, since: Timestamp) -> Result<bool, String> {
        let noted = self.client().await?.query_one(NOTED, &[&since]).await;
        Ok(noted.map_err(|error| postgres::describe(&error))?.get(0))
    }

    /// What is reserved by SKU, without the zeros.
    ///
    /// # Errors
    /// The server's words.
    pub(super) async fn inventory(&mut self) -> Result<BTreeMap<String, i64>, String> {
        let rows = self
            .client()
            .await?
            .query(INVENTORY, &[])
            .await
            .map_err(|error| postgres::describe(&error))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// What does not agree: orders with their stock and payment, the inventory with the
    /// reservations. A line for each.
    ///
    /// # Errors
    /// The server's words.
    pub(super) async fn disagreements(&mut self) -> Result<Vec<String>, String> {
        let client = self.client().await?;
        let mut lines = Vec::new();
        for query in [UNSETTLED, UNBALANCED] {
            let rows =
                client.query(query, &[]).await.map_err(|error| postgres::describe(&error))?;
            lines.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
        Ok(lines)
    }

    async fn client(&mut self) -> Result<&Client, String> {
        let session = match self.session.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => connect(&self.url).await?,
        };
        Ok(&self.session.insert(session).client)
    }
}

async fn connect(url: &str) -> Result<Session, String> {
    let server = postgres::server(&SecretString::from(url.to_owned()), "demo")
        .map_err(|error| error.to_string())?;
    let (client, connection) =
        server.connect().await.map_err(|error| postgres::describe(&error))?;
    Ok(Session { client, _driver: outflow_core::task::owned(connection) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Entry, Kind};

    const EVENTS: [&str; 2] =
        ["00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"];
    const TABLES: &str = "create table public.outbox (); create schema orders; \
        create table orders.inbox (consumer_group text, event_id uuid, handled_at timestamptz)";

    fn handled(event: &str, seconds_ago: u32) -> String {
        format!(
            "insert into orders.inbox values ('{GROUP}', '{event}', \
                now() - interval '{seconds_ago} seconds')"
        )
    }

    #[tokio::test]
    async fn a_transaction_of_the_consumer_may_take_as_long_as_it_likes() {
        let dir = tempfile::tempdir().expect("a directory");
        let server = outflow_local::Postgres::start(dir.path()).await.expect("a server");
        let ledger = Arc::new(Mutex::new(Ledger::new()));
        for (event, order) in EVENTS.into_iter().zip(["A", "B"]) {
            let mut ledger = ledger.lock();
            ledger.place(order, false);
            ledger.relay(Entry {
                id: event.to_owned(),
                event_id: event.to_owned(),
                kind: Kind::Created,
                key: order.to_owned(),
                items: Vec::new(),
                lag: Duration::ZERO,
            });
        }
        let mut effects = Effects::new(server.url(), false);
        let session = connect(&server.url()).await.expect("a session");
        let writer = &session.client;
        writer.batch_execute(TABLES).await.expect("tables");
        let lost = || ledger.lock().tally().lost();
        for (event, seconds_ago, left) in [(EVENTS[0], 0, 1), (EVENTS[1], 60, 1)] {
            writer.batch_execute(&handled(event, seconds_ago)).await.expect("a row");
            assert_eq!(effects.refresh(&ledger).await, Ok(0));
            assert_eq!(lost(), left);
        }
        effects.start_over();
        assert_eq!(effects.refresh(&ledger).await, Ok(0));
        assert_eq!(lost(), 0, "it was committed behind a later one");
    }
}
