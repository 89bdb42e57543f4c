//! A batch's life on one screen (claim → encode → append → settle), and the pipeline that keeps
//! several in flight.

mod claiming;
pub mod encode;
pub mod event;
mod event_log;
mod gate;
pub mod hold;
mod holding;
pub mod kept;
mod loss;
mod member;
mod mode;
pub(crate) mod observer;
pub mod options;
mod outage;
pub mod outbox;
mod pace;
mod pacing;
mod parked;
mod parking;
pub mod pause;
mod pausing;
mod readiness;
mod records;
mod relapse;
pub mod route;
mod session;
pub mod sink;
mod taken;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
pub(crate) mod trouble;
mod witness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::relay::encode::{Encoder, Entries};
use crate::relay::outbox::{Claim, Outbox};
use crate::relay::sink::{AppendError, Sink};
use hold::Holds;
use observer::Observer;
use parked::Parked;
use pause::Pauses;
use session::{Drain, Session};
use taken::Taken;
use trouble::Trouble;

pub use mode::Mode;
pub use trouble::Cause;

/// One outbox, relayed by one member.
pub struct Relay<O, S> {
    name: String,
    outbox: O,
    sink: S,
    encoder: Encoder,
    limits: Limits,
    parked: Mutex<Parked>,
    pauses: watch::Receiver<Arc<Pauses>>,
    observer: Arc<dyn Observer>,
    holds: Holds,
    /// Rows are held back, and none was delivered since.
    grants_nothing: AtomicBool,
}

/// Limits of a relay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of batches in flight.
    pub in_flight: usize,
    /// Polling interval, used when no notification arrives.
    pub poll_interval: Duration,
    /// Maximum time to wait before the next claim under load. Zero disables the wait.
    pub linger: Duration,
    /// Time after which the events of a parked stream are dead-lettered. `None`: never.
    pub park_max: Option<Duration>,
}

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// Puts the parts together; nothing happens before [`Relay::run`].
    pub fn new(
        name: &str,
        outbox: O,
        sink: S,
        encoder: Encoder,
        limits: Limits,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let parked = Mutex::new(Parked::new(limits.park_max));
        let pauses = outbox.pauses();
        observer.unparked();
        Self {
            name: name.to_owned(),
            outbox,
            sink,
            encoder,
            limits,
            parked,
            pauses,
            observer,
            holds: Holds::default(),
            grants_nothing: AtomicBool::new(false),
        }
    }

    /// The same, which waits while these say so.
    #[must_use]
    pub fn heeding(self, holds: Holds) -> Self {
        Self { holds, ..self }
    }

    /// One batch's life. Returns how many events it delivered; `None` when there is none, or when
    /// it failed.
    ///
    /// Never cancelled: once rows are claimed, they are settled or rolled back. A batch that fails
    /// breaks the gates for those behind it, which are then rolled back too.
    async fn deliver(&self, drain: &Drain<'_>, stop: &CancellationToken) -> Option<usize> {
        let mut turn = drain.claims.lock().await;
        let Taken { mut claim, tries } = match self.next(drain, &mut turn, stop).await {
            Ok(taken) => taken?,
            Err(trouble) => {
                // Rows that a failed batch lets go may come back before it has heard that they are
                // free. It waits for that, and it is the doubt if the answer does not come.
                if !(trouble.is_in_flight() && drain.has_failed()) {
                    drain.fail(trouble);
                }
                return None;
            }
        };
        let number = drain.enter();
        drop(turn);
        if claim.is_full() {
            // Postgres gets the next claim before this batch is encoded, and works meanwhile.
            tokio::task::yield_now().await;
        }

        let entries = self.encoder.encode(claim.batch(), &self.parked().given_up());

        let delivered = match self.append(drain, number, &mut claim, &entries).await {
            Ok(()) => self.settle(drain, number, claim, &entries).await,
            Err(trouble) => {
                if !matches!(trouble, Some(Trouble::Doubt { .. })) {
                    claim.was_not_appended();
                }
                if let Some(trouble) = trouble {
                    drain.fail(trouble);
                }
                Self::roll_back(drain, claim).await;
                None
            }
        };
        if delivered.is_some() {
            self.tried(tries.as_deref(), &entries);
        }
        drain.leave();
        delivered
    }

    /// Both servers answer. That an event can be delivered is not known while all that there are
    /// are held back.
    fn idle_and_well(&self) {
        if !self.outbox.holds_back() {
            self.grants_nothing.store(false, Ordering::Relaxed);
        }
        if !self.grants_nothing.load(Ordering::Relaxed) {
            self.observer.up();
        }
    }

    /// Appends in claim order. `Err(None)`: a batch in front has failed, so nothing was tried.
    async fn append(
        &self,
        drain: &Drain<'_>,
        number: u64,
        claim: &mut O::Claim,
        entries: &Entries,
    ) -> Result<(), Option<Trouble>> {
        let turn = drain.appends.wait(number).await.map_err(|_broken| None)?;
        // What must be known before these rows are passed, for example who is dead.
        let aside = claim.before_append(entries).await.map_err(|error| Some(error.into()))?;
        // A batch whose *settle* fails was appended, and breaks no gate here; but the rows that it
        // let go may have been claimed again by the claim that was under way. Nobody awaits between
        // this look and the append.
        if drain.has_failed() {
            return Err(None);
        }
        // A kept outbox moves on over rows that have no entry, too.
        if !entries.entries.is_empty() || claim.batch().passage.is_some() {
            let started = Instant::now();
            let position = drain.session.position(number);
            let refused = self.noticed(self.sink.append(position, claim.batch(), entries)).await;
            let refused = match refused {
                Ok(refused) => refused,
                Err(AppendError::Refused(refused)) => {
                    drain.session.appended(position);
                    // Its record has no row in it.
                    drain.session.settled(number);
                    return Err(Some(Trouble::Parked(self.park(&refused))));
                }
                Err(error) => {
                    self.observer.append_failed(&error);
                    return Err(Some(error.into()));
                }
            };
            drain.session.appended(position);
            if !refused.is_empty() {
                let detail = format!("refused by {}", self.park(&refused));
                return Err(Some(Trouble::Doubt { cause: Cause::PartlyAppended, detail }));
            }
            self.holds.appended(entries.bytes());
            self.observer.appended(claim.batch(), entries, started.elapsed());
            event_log::appended(&self.name, claim.batch(), entries);
            self.unpark(entries);
        }
        self.aside(&aside);
        turn.done();
        Ok(())
    }

    /// Settles in claim order.
    async fn settle(
        &self,
        drain: &Drain<'_>,
        number: u64,
        claim: O::Claim,
        entries: &Entries,
    ) -> Option<usize> {
        let Ok(turn) = drain.settles.wait(number).await else {
            Self::roll_back(drain, claim).await;
            return None;
        };
        let (started, events) = (Instant::now(), claim.batch().events.len());
        if let Err(error) = claim.settle(entries).await {
            drain.fail(error.into());
            return None;
        }
        drain.session.settled(number);
        turn.done();
        self.observer.settled(entries, started.elapsed());
        self.grants_nothing.store(false, Ordering::Relaxed);
        self.observer.up();
        Some(events)
    }

    /// A claim of which nobody knows whether it is still open is a doubt, whatever it was rolled
    /// back for.
    async fn roll_back(drain: &Drain<'_>, claim: O::Claim) {
        if let Err(error) = claim.roll_back().await {
            drain.fail(error.into());
        }
    }

    /// Delivers until a stop or trouble, or ([`Mode::Once`]) until there is nothing left. Returns
    /// how many events it delivered.
    async fn drain(
        &self,
        session: &Session,
        mode: Mode,
        stop: &CancellationToken,
    ) -> Result<usize, Trouble> {
        self.parked().calm();
        let drain = Drain::new(session, mode);
        let lane = async || {
            let mut delivered = 0;
            while let Some(events) = self.deliver(&drain, stop).await {
                delivered += events;
            }
            delivered
        };
        // Not join_all, which looks after every lane whenever one of them is woken.
        let lanes: FuturesUnordered<_> = (0..self.limits.in_flight).map(|_| lane()).collect();
        let delivered = lanes.fold(0, async |sum, delivered| sum + delivered).await;
        self.end(drain).await?;
        Ok(delivered)
    }

    /// Delivers what one claim takes.
    async fn deliver_once(
        &self,
        session: &Session,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        self.parked().calm();
        let drain = Drain::new(session, Mode::Once);
        self.deliver(&drain, stop).await;
        self.end(drain).await
    }

    async fn end(&self, drain: Drain<'_>) -> Result<(), Trouble> {
        let (trouble, rest) = drain.finish();
        let up = if rest.asleep { self.outbox.get_up().await } else { Ok(()) };
        match trouble {
            Some(trouble) => Err(trouble),
            None => Ok(up?),
        }
    }
}
