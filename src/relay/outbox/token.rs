//! Beside a claim: what its token is worth. Examining a table (proof.sql) costs more than telling
//! that nothing of it has changed (token.sql), and tables hardly ever change.

use super::cursor::Proof;
use super::pg_outbox::PgOutbox;
use super::refusal::{Failed, ask};
use super::session::Session;
use super::state::locked;

impl PgOutbox {
    /// The proof that a claim rests on, from its token and from the last value of the sequence that
    /// it asked for.
    ///
    /// A new token is examined in the claim's own transaction: the lock that the delete took keeps
    /// triggers and columns as they are. A sequence may still change; then its token differs at the
    /// next claim, which starts at the beginning.
    pub(super) async fn proof(
        &self,
        client: &Session,
        asked: Option<u32>,
        token: Option<String>,
        drawn: Option<i64>,
    ) -> Result<Option<Proof>, Failed> {
        let (Some(statement), Some(token)) = (&self.table.sql.proof, token) else {
            return Ok(None);
        };
        let known = locked(&self.state).proven.clone();
        let sequence = match known {
            Some((examined, sequence)) if examined == token => sequence,
            _ => {
                let statement = ask(client.prepare_cached(statement)).await?;
                let sequence = ask(client.query_opt(&statement, &[])).await?.map(|row| row.get(0));
                tracing::debug!(
                    outbox = self.config.name,
                    token,
                    sequence,
                    "examined whether higher ids are newer"
                );
                locked(&self.state).proven = Some((token.clone(), sequence));
                sequence
            }
        };
        // The value of another sequence, or of none, says nothing.
        let drawn = drawn.filter(|_| sequence.is_some() && sequence == asked);
        Ok(drawn.map(|drawn| Proof { token, drawn }))
    }
}
