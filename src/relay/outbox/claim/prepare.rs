//! What a session prepares for claims, and the sessions that are opened before they are needed.

use futures_util::future;

use crate::relay::outbox::OutboxError;
use crate::relay::outbox::connections;
use crate::relay::outbox::fence::FENCE;
use crate::relay::outbox::identity::same_types;
use crate::relay::outbox::pg_outbox::{PgOutbox, SPARE_CONNECTIONS};
use crate::relay::outbox::refusal::{Failed, ask, within};
use crate::relay::outbox::session::{Asked, Session};

/// What the setting must have become.
pub(super) const OPEN: &str = "open";
/// The same in a lent session, if the control session is here: `$3` the number of its proof. If
/// not, the claim is not open, and takes nothing.
const FENCE_HERE: &str = "select pg_advisory_xact_lock_shared($1, $2), \
    set_config('outflow.claim', case when pg_try_advisory_xact_lock_shared($3::bigint) then '' \
    else 'open' end, true)";

impl PgOutbox {
    /// Fence, generation and claim.
    pub(super) async fn prepared(&self, client: &Session) -> Result<[Asked<'_>; 3], Failed> {
        let sql = &self.table.sql;
        if client.is_lent() {
            return Ok([FENCE_HERE, &sql.generation.lent, &sql.claim].map(Asked::Text));
        }
        let (fence, generation) =
            (client.prepare_cached(FENCE), client.prepare_cached(&sql.generation.own));
        let claim = client.prepare_cached(&sql.claim);
        let (fence, generation, claim) = ask(future::try_join3(fence, generation, claim)).await?;
        if let Asked::Prepared(statement) = &generation {
            same_types(statement, &self.table.layout.types, &self.config.table)
                .map_err(Failed::Lost)?;
        }
        Ok([fence, generation, claim])
    }

    /// Opens the connections that the batches in flight will use, so that the first events do not
    /// wait for them.
    pub(in crate::relay::outbox) async fn warm_up(&self) {
        let ready = async |_| {
            let client = self.connection().await?;
            self.prepared(&client).await?;
            Ok::<_, OutboxError>(client)
        };
        let size = self.config.in_flight + SPARE_CONNECTIONS;
        self.sessions.resize(size);
        let Err(error) = within(future::try_join_all((0..self.config.in_flight).map(ready))).await
        else {
            return;
        };
        if !matches!(error, OutboxError::Full(_)) {
            tracing::debug!(outbox = self.config.name, %error, "could not open all connections in \
                advance: opening them on demand");
            return;
        }
        // Each batch in flight would wait for a connection that is never to be had, and fail; fewer
        // work.
        let had = connections::to_be_had(size, || ready(0)).await;
        self.sessions.resize(had.max(connections::LEAST));
        connections::tell(&self.config.name, had, size, &error);
    }
}
