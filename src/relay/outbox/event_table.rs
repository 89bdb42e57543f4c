//! The contract of an [`Outbox`], kept by an event table in Postgres.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::claim::PgClaim;
use super::control::Control;
use super::pg_outbox::{PgOutbox, lost};
use super::recovery::PgRecovery;
use super::refusal::within;
use super::state::{locked, noted};
use super::{First, Outbox, OutboxError, SetAside, Woken};
use crate::relay::event::Acknowledged;
use crate::relay::pause::Pauses;

/// How long a member that stops may take to say so.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How often the members are looked at when nothing is heard.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

impl PgOutbox {
    /// Returns the seat's number, and whether it was taken just now.
    pub(super) async fn take_seat(&self) -> Result<(i32, bool), OutboxError> {
        let mut control = self.control.lock().await;
        if let Some(open) = control.as_ref().filter(|open| open.is_alive()) {
            return Ok((open.seat(), false));
        }
        *control = None;
        let proof = self.sessions.new_proof();
        let open = Control::connect(&self.direct, self.table.oid, &self.mapping, proof).await;
        let open = noted(&self.state, open)?;
        let seat = open.seat();
        locked(&self.state).waiter = Some(open.waiter());
        *control = Some(open);
        Ok((seat, true))
    }

    /// Whether the control session lives, and with it the seat.
    pub(super) fn is_seated(&self) -> Result<(), OutboxError> {
        let is_alive = self.waiter().is_some_and(|waiter| waiter.is_alive());
        if is_alive { Ok(()) } else { Err(lost()) }
    }

    /// What no claim is made without: who sleeps, and what is paused. After the members were read:
    /// whoever goes from here on is missed, and there is another recovery.
    pub(super) async fn learn(&self) -> Result<(), OutboxError> {
        self.with_control(Control::learn_who_sleeps).await?;
        self.heard(self.with_control(Control::pauses).await?);
        Ok(())
    }
}

impl Outbox for PgOutbox {
    type Claim = PgClaim;
    type Recovery = PgRecovery;

    async fn join(&self) -> Result<i32, OutboxError> {
        let (seat, new) = self.take_seat().await?;
        if new {
            self.warm_up().await;
        }
        Ok(seat)
    }

    async fn changed(&self) {
        let Some(waiter) = self.waiter() else { return };
        loop {
            match waiter.members(LOOK_PAUSE).await {
                Woken::Disconnected => return,
                Woken::Notified | Woken::Elapsed => {}
            }
            if waiter.is_asked() {
                // Nothing is paused that was not before; who waits for it looks at what is asked.
                self.pauses.send_modify(|_| {});
            }
            let Ok(seen) = self.with_control(Control::look).await else { return };
            let is_in_force = self.is_in_force(&seen);
            self.heard(seen.pauses);
            if !is_in_force {
                return;
            }
        }
    }

    fn pauses(&self) -> watch::Receiver<Arc<Pauses>> {
        self.pauses.subscribe()
    }

    fn wanted(&self) -> Vec<String> {
        self.waiter().map(|waiter| waiter.take_wanted()).unwrap_or_default()
    }

    async fn leave(&self) {
        let Some(control) = self.control.lock().await.take() else { return };
        // Unsaid, the others see it when the session is gone.
        let said = tokio::time::timeout(LEAVE_LIMIT, control.leave()).await;
        tracing::debug!(outbox = self.config.name, ?said, "left the outbox");
    }

    async fn sweep(&self, parked: &[String]) -> Duration {
        self.sweep_once(parked).await
    }

    async fn testify(&self, seen: Acknowledged) -> Result<(), OutboxError> {
        self.write_down(seen).await
    }

    async fn claim(&self, parked: &[String]) -> Result<Option<PgClaim>, OutboxError> {
        self.is_seated()?;
        noted(&self.state, self.take(parked).await)
    }

    async fn claim_of(&self, stream: &str) -> Result<First<PgClaim>, OutboxError> {
        self.is_seated()?;
        noted(&self.state, self.take_of(stream).await)
    }

    fn holds_back(&self) -> bool {
        locked(&self.state).held.names().is_some()
    }

    fn set_aside(&self) -> Vec<SetAside> {
        std::mem::take(&mut locked(&self.state).aside)
    }

    async fn recover(&self) -> Result<PgRecovery, OutboxError> {
        let recovery = noted(&self.state, within(self.begin_recovery()).await)?;
        self.learn().await?;
        Ok(recovery)
    }

    fn outdated(&self) -> Option<String> {
        locked(&self.state).outdated.clone()
    }

    fn rewind(&self) {
        locked(&self.state).look_again_from(super::cursor::BEGINNING);
    }

    async fn fall_asleep(&self) -> Result<bool, OutboxError> {
        let (keeps_lock, others) = locked(&self.state).sleep_role();
        self.with_control(async |control| {
            if keeps_lock {
                control.fall_asleep(others).await
            } else {
                Ok(control.sleeper_sleeps())
            }
        })
        .await
    }

    async fn woken(&self, limit: Duration) -> Woken {
        match self.waiter() {
            Some(waiter) => waiter.inserted(limit).await,
            None => Woken::Disconnected,
        }
    }

    async fn get_up(&self) -> Result<(), OutboxError> {
        let (_, others) = locked(&self.state).sleep_role();
        self.with_control(async |control| control.get_up(others).await).await
    }
}
