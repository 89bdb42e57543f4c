//! A kept outbox: its table is only read. How far it has been read is in the journal in Redis,
//! written by the script that appends.
//!
//! It has a seat, a share of the slots and the sleep lock as any member has (`PgOutbox`). Its
//! claims hold nothing, and its recovery shares out positions instead of settling rows.

pub mod change;
mod claim;
mod copy;
mod kept_outbox;
mod known;
mod letters;
mod lone;
mod missing;
mod patience;
mod read;
mod reading;
mod recovery;
pub mod replay;
pub mod retention;
mod statements;
pub mod trial;
pub mod unread;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::refusal::within;
use super::state::noted;
use super::{First, Outbox, OutboxError, SetAside, Woken};
use crate::relay::event::Acknowledged;
use crate::relay::pause::Pauses;

pub use claim::KeptClaim;
pub use kept_outbox::KeptOutbox;
pub use known::Known;
pub use recovery::KeptRecovery;

/// How often it is looked at whether row security hides rows.
const LOOK_PAUSE: Duration = Duration::from_secs(10);

impl Outbox for KeptOutbox {
    type Claim = KeptClaim;
    type Recovery = KeptRecovery;

    async fn join(&self) -> Result<i32, OutboxError> {
        self.base.take_seat().await.map(|(seat, _)| seat)
    }

    async fn changed(&self) {
        self.base.changed().await;
    }

    fn pauses(&self) -> watch::Receiver<Arc<Pauses>> {
        self.base.pauses()
    }

    fn wanted(&self) -> Vec<String> {
        self.base.wanted()
    }

    async fn leave(&self) {
        self.base.leave().await;
    }

    async fn sweep(&self, parked: &[String]) -> Duration {
        let _ = parked;
        if let Err(error) = noted(&self.base.state, within(self.base.see_all()).await) {
            tracing::debug!(outbox = self.base.config.name, %error, "cannot verify that row \
                security hides no rows: retrying");
        }
        self.retain().await.min(LOOK_PAUSE)
    }

    async fn testify(&self, seen: Acknowledged) -> Result<(), OutboxError> {
        self.base.testify(seen).await?;
        self.copy(seen).await
    }

    /// A member that has read what the one before it had appended has a position to tell, too.
    async fn testify_last(&self, seen: Acknowledged) -> Result<(), OutboxError> {
        self.copy(seen).await
    }

    async fn claim(&self, parked: &[String]) -> Result<Option<KeptClaim>, OutboxError> {
        self.base.is_seated()?;
        noted(&self.base.state, self.take(parked).await)
    }

    async fn claim_of(&self, stream: &str) -> Result<First<KeptClaim>, OutboxError> {
        self.base.is_seated()?;
        noted(&self.base.state, self.take_of(stream).await)
    }

    fn set_aside(&self) -> Vec<SetAside> {
        self.base.set_aside()
    }

    async fn recover(&self) -> Result<KeptRecovery, OutboxError> {
        let recovery = noted(&self.base.state, Box::pin(within(self.begin_recovery())).await)?;
        self.base.learn().await?;
        Ok(recovery)
    }

    fn outdated(&self) -> Option<String> {
        self.base.outdated().or_else(|| self.known.halted())
    }

    /// Nothing is passed that was not read.
    fn rewind(&self) {}

    fn heals(&self) -> bool {
        true
    }

    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        self.base.fall_asleep().await
    }

    async fn woken(&self, limit: Duration) -> Woken {
        self.base.woken(limit).await
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        self.base.get_up().await
    }
}
