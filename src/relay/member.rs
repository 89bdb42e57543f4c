//! The loop of a member: join, recover, work, stand by; after trouble, back to a state in which it
//! is safe to continue.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Relay;
use super::loss;
use super::mode::Mode;
use super::outage::Outage;
use super::relapse::Relapse;
use super::session::Session;
use super::trouble::{Cause, Trouble};
use crate::relay::outbox::{Assignment, Outbox, OutboxError, Recovery};
use crate::relay::sink::{GENERATIONS_KEPT, Sink};

/// Pause of a standby before it looks again after a change.
const STANDBY_PAUSE: Duration = Duration::from_millis(200);

/// How long a sweep is put off while the outbox is paused.
const PAUSED_SWEEP: Duration = Duration::from_secs(1);

/// Why a member has no slot.
const STANDBY: &str = "another configuration owns this outbox, or all 64 slots are taken";

/// What a member brings along into a recovery.
#[derive(Default)]
struct Past {
    /// The generation that it left, unless it goes on with it.
    left: Option<Session>,
    /// A loss was told, and that is not written down yet: one loss is told once.
    lost: bool,
}

/// Why work ended.
pub(super) enum Ended {
    Finished,
    /// Members came or went; nothing is in doubt.
    Changed,
    Doubt(Cause, String),
}

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Relays until `stop`, or until the outbox is empty ([`Mode::Once`]). No outage ends it. What
    /// is returned says why the outbox must be examined again, and another relay made for it.
    pub async fn run(&self, mode: Mode, stop: &CancellationToken) -> Option<String> {
        let mut cause = Cause::Start;
        let mut doubted = None;
        let mut past = Past::default();
        let mut relapse = Relapse::new(&self.name);
        while let Some(session) = self.recovered(cause, doubted, &mut past, stop).await {
            let began = Instant::now();
            match self.shift(&session, mode, stop).await {
                Ended::Finished => {
                    self.forget(&session).await;
                    self.last_witness(&session).await;
                    break;
                }
                Ended::Changed => (cause, doubted) = (Cause::Members, None),
                Ended::Doubt(doubt, detail) => {
                    (cause, doubted) = (doubt, Some(session.generation));
                    if let Some(length) = relapse.next_pause(doubt, &detail, began.elapsed()) {
                        self.observer.down(&detail);
                        pause(length, stop).await;
                    }
                }
            }
            past.left = Some(session);
        }
        self.outbox.leave().await;
        let outdated = self.outbox.outdated().filter(|_| !stop.is_cancelled());
        if outdated.is_none() {
            tracing::info!(outbox = self.name, "stopped");
        }
        outdated
    }

    /// Works until it is done, in doubt, or the share-out changes; sweeps meanwhile.
    async fn shift(&self, session: &Session, mode: Mode, stop: &CancellationToken) -> Ended {
        let shift_over = stop.child_token();
        let watch = async {
            self.outbox.changed().await;
            shift_over.cancel();
            std::future::pending::<()>().await;
        };
        let sweep = async {
            loop {
                let parked = self.parked().names();
                let rest =
                    if self.is_paused() { PAUSED_SWEEP } else { self.outbox.sweep(&parked).await };
                if self.outbox.outdated().is_some() {
                    // What is in flight is settled first.
                    shift_over.cancel();
                }
                tokio::time::sleep(rest).await;
            }
        };
        let ended = tokio::select! {
            ended = self.work(session, mode, &shift_over) => ended,
            () = watch => Ended::Finished,
            () = sweep => Ended::Finished,
            never = self.keep_witness(session) => match never {},
            never = self.keep_pauses() => match never {},
        };
        match ended {
            // The stop was not asked for from outside.
            Ended::Finished if shift_over.is_cancelled() && !stop.is_cancelled() => Ended::Changed,
            ended => ended,
        }
    }

    /// Recovers, however long that takes; `None` when asked to stop, or when the outbox must be
    /// examined again.
    async fn recovered(
        &self,
        cause: Cause,
        doubted: Option<i64>,
        past: &mut Past,
        stop: &CancellationToken,
    ) -> Option<Session> {
        let mut outage = Outage::new(&self.name);
        let mut standing_by = false;
        while !stop.is_cancelled() && self.outbox.outdated().is_none() {
            match self.recover(cause, doubted, past).await {
                Ok(Some(session)) => {
                    outage.over();
                    self.observer.stands_by(None);
                    return Some(session);
                }
                Ok(None) => {
                    if !standing_by {
                        tracing::info!(outbox = self.name, "standby: {STANDBY}");
                        standing_by = true;
                    }
                    self.observer.stands_by(Some(STANDBY));
                    self.observer.up();
                    self.stand_by(&mut outage, stop).await;
                    // A change that is seen at once must not become a busy loop.
                    pause(STANDBY_PAUSE, stop).await;
                }
                Err(reason) => {
                    self.observer.down(&reason);
                    pause(outage.next_pause(&reason), stop).await;
                }
            }
        }
        None
    }

    /// One recovery: nobody's claim is open, the journal tells what was appended, that is settled,
    /// a new generation begins with the share-out that is right. Start-up, a crash, a doubt and a
    /// change of members are the same thing. `None`: standing by.
    ///
    /// A generation above the one that was doubted was begun by somebody else's recovery, which has
    /// settled what this member left behind: it is adopted as it is, else two members would raise
    /// it in turn for ever. The one that was `left` without a doubt, because somebody came who
    /// stands by or is gone again, is gone on with: its batch numbers go on, else the journal would
    /// seem to have lost them.
    async fn recover(
        &self,
        cause: Cause,
        doubted: Option<i64>,
        past: &mut Past,
    ) -> Result<Option<Session>, String> {
        let seat = self.outbox.join().await.map_err(in_words)?;
        self.observer.seated(seat);
        // Whoever holds the fence keeps all others from claiming: not while it waits for a Redis
        // that is silent.
        self.sink.answers().await?;
        let recovery = self.outbox.recover().await.map_err(in_words)?;
        let (known, leads) = (recovery.generation(), recovery.leads());
        let (raise, slots) = match recovery.assignment() {
            Assignment::StandBy => (false, 0),
            Assignment::InForce => {
                (doubted.is_some_and(|doubted| doubted >= known), recovery.slots_owned())
            }
            Assignment::Changes => (true, recovery.slots_owned()),
        };
        let (loss, generation) = if raise {
            (known, self.raise(cause, recovery, seat, past).await?)
        } else {
            let loss = recovery.loss();
            recovery.adopt().await.map_err(in_words)?;
            self.observer.recovered(cause, 0, known);
            (loss, known)
        };
        let same = |left: &Session| (left.generation, left.member) == (generation, seat);
        if let Some(old) = past.left.as_ref().filter(|left| !same(left)) {
            if !raise && old.generation >= loss {
                self.compare(old).await?;
            }
            past.left = None;
        }
        self.observer.owns(slots, leads && slots > 0);
        tracing::info!(outbox = self.name, generation, slots, "joined the outbox");
        if slots == 0 {
            return Ok(None);
        }
        Ok(Some(past.left.take().unwrap_or_else(|| Session::new(generation, seat))))
    }

    /// Redis must still know what this member appended in the generation that it left. The first
    /// append of a session that goes on would notice; after a doubt there is none.
    async fn compare(&self, left: &Session) -> Result<(), String> {
        let acknowledged = left.acknowledged();
        let known = self.sink.last_batch(left.generation, left.member).await?;
        if let Some(known) = known.filter(|known| *known < acknowledged) {
            self.rolled_back(&format!(
                "the last batch of generation {} was {known}, not {acknowledged}",
                left.generation
            ));
        }
        Ok(())
    }

    /// The new generation. Whether Redis has lost something is looked at in the answer that raises
    /// it: had Redis failed over in between, an older answer would not have shown it.
    async fn raise(
        &self,
        cause: Cause,
        recovery: O::Recovery,
        seat: i32,
        past: &mut Past,
    ) -> Result<i64, String> {
        let known = recovery.generation();
        let server = recovery.server();
        let raised = self.sink.raise(known, server).await?;
        // Of kept rows, the recovery itself tells it, and goes on from where nothing is missed.
        let was = raised.server.as_deref().filter(|was| !server.is_empty() && *was != server);
        if let Some(was) = was.filter(|_| !self.outbox.heals()) {
            self.postgres_went_back(was, server);
        }
        let left = past
            .left
            .iter()
            .map(Session::witness)
            .filter(|left| left.generation >= recovery.loss());
        let witness: Vec<_> = recovery.acknowledged().iter().copied().chain(left).collect();
        if let Some(what) = loss::missing(known, &raised, &witness).filter(|_| !past.lost) {
            self.rolled_back(&what);
            past.lost = true;
        }
        let oldest = raised.generation - GENERATIONS_KEPT;
        let settled = recovery.finish(&raised, past.lost, oldest).await.map_err(in_words)?;
        past.lost = false;
        // Only now that the commit is known. What stays behind does no harm: the next recovery
        // drops it.
        let begun = Session::new(raised.generation, seat);
        if let Err(reason) = self.sink.forget(begun.standstill(), &[]).await {
            tracing::debug!(
                outbox = self.name,
                reason,
                "could not remove old journal records: \
                leaving them to the next recovery"
            );
        }
        self.observer.recovered(cause, settled, raised.generation);
        let (cause, generation) = (cause.as_str(), raised.generation);
        tracing::info!(outbox = self.name, cause, generation, settled, "recovered");
        Ok(generation)
    }

    /// Delivers until it is done, in doubt, or asked to stop.
    pub(super) async fn work(
        &self,
        session: &Session,
        mode: Mode,
        stop: &CancellationToken,
    ) -> Ended {
        let mut outage = Outage::new(&self.name);
        while !stop.is_cancelled() {
            match mode {
                Mode::Daemon if self.is_paused() => {
                    self.rest_while_paused(session, stop).await;
                    continue;
                }
                Mode::Once if self.is_paused() => {
                    // Or nobody could say why nothing was drained.
                    drop(self.parked());
                    return Ended::Finished;
                }
                Mode::Daemon | Mode::Once => {}
            }
            match self.wait_while_held(session, stop).await {
                Err(Trouble::Doubt { cause, detail }) => return Ended::Doubt(cause, detail),
                Ok(()) | Err(Trouble::Unavailable(_) | Trouble::Parked(_)) => {}
            }
            // After an outage one batch goes ahead.
            let outcome = if outage.lasts() {
                self.deliver_once(session, stop).await
            } else {
                match (self.drain(session, mode, stop).await, mode) {
                    (Ok(_), Mode::Daemon) => Ok(()),
                    (Ok(_), Mode::Once) => {
                        // A look that was held back in between has seen nothing.
                        let changes = self.holds.changes();
                        match self.last_look(session, stop).await {
                            Ok(0) if !changes.is_any() && !self.is_held() => {
                                return Ended::Finished;
                            }
                            other => other.map(drop),
                        }
                    }
                    (Err(trouble), _) => Err(trouble),
                }
            };
            match outcome {
                Ok(()) => {
                    outage.over();
                    self.idle_and_well();
                }
                Err(Trouble::Unavailable(reason)) => {
                    self.observer.down(&reason);
                    pause(outage.next_pause(&reason), stop).await;
                }
                // It was logged when they were parked.
                Err(Trouble::Parked(_)) => {}
                Err(Trouble::Doubt { cause, detail }) => return Ended::Doubt(cause, detail),
            }
        }
        Ended::Finished
    }

    /// Before a single drain ends: what slipped by the cursor is found from the beginning.
    async fn last_look(
        &self,
        session: &Session,
        stop: &CancellationToken,
    ) -> Result<usize, Trouble> {
        self.outbox.rewind();
        self.drain(session, Mode::Once, stop).await
    }

    /// Leaves no settled batch in the journal.
    pub(super) async fn forget(&self, session: &Session) {
        let (records, at) = session.drop_settled();
        if records.is_empty() {
            return;
        }
        if let Err(reason) = self.sink.forget(at, &records).await {
            session.kept(&records);
            tracing::debug!(
                outbox = self.name,
                reason,
                "could not remove settled journal records: \
                retrying after a later batch"
            );
        }
    }

    /// Its rows are what there is: those that came back are sent, whether they were or not.
    fn postgres_went_back(&self, was: &str, is: &str) {
        self.observer.postgres_went_back();
        tracing::error!(
            outbox = self.name,
            was,
            is,
            "Postgres was restored or has failed over: if it lost commits, events whose rows came \
                back are delivered twice, and events whose rows are gone stay in their streams"
        );
    }

    fn rolled_back(&self, what: &str) {
        self.observer.rolled_back();
        if self.outbox.heals() {
            tracing::warn!(
                outbox = self.name,
                what,
                "Redis lost data that it had acknowledged (it restarted without persistence, was \
                    flushed or restored, or failed over): the rows are kept, and what is missing \
                    is sent again"
            );
            return;
        }
        tracing::error!(
            outbox = self.name,
            what,
            "Redis lost data that it had acknowledged (it restarted without persistence, was \
                flushed or restored, or failed over): events delivered shortly before may be \
                missing from their streams; the relay continues in a new generation"
        );
    }
}

async fn pause(length: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(length) => {}
        () = stop.cancelled() => {}
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
fn in_words(error: OutboxError) -> String {
    error.to_string()
}
