//! Redis goes back in time in the middle of the orders: its data is copied, more orders come, it is
//! killed, and it starts with the copy. The relay then sends again what went with it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use parking_lot::Mutex;

use super::board::{grouped, say};
use super::effects::Effects;
use super::feed::Following;
use super::ledger::Ledger;
use super::stack::Stack;
use outflow_local::Error;

/// How much younger the relay's note of its position in Postgres must be than the copy of Redis, so
/// that there is something to send again for which the note stands.
const NOTE_AGE: Duration = Duration::from_secs(1);
const HEALED: &str = "outflow_events_healed_total";
const DUPLICATES: &str = "outflow_consumer_duplicates_total";

/// The one rollback of a run.
pub(super) struct Rollback {
    /// Orders after which it is copied.
    copy_at: u64,
    /// Orders after which it is killed, at the earliest.
    kill_at: u64,
    step: Step,
    /// What the programs count at the end.
    counted: Counted,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    healed: u64,
    duplicates: u64,
}

enum Step {
    Placing,
    Copied {
        at: Zoned,
        orders: u64,
    },
    /// It runs with the copy, and the relay has not sent anything again.
    Back {
        killed_at: u64,
        older: u64,
    },
    Healed {
        killed_at: u64,
        older: u64,
    },
    /// The demo was stopped before.
    Never,
}

/// Who is placing orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    AtWork,
    Done,
    Stopped,
}

impl Rollback {
    pub(super) fn new((copy_at, kill_at): (u64, u64)) -> Self {
        Self { copy_at, kill_at, step: Step::Placing, counted: Counted::default() }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.step, Step::Healed { .. } | Step::Never)
    }

    /// Does what is due next, and tells it.
    ///
    /// # Errors
    /// If Redis does not do as it is told.
    pub(super) async fn advance(
        &mut self,
        stack: &mut Stack,
        effects: &mut Effects,
        feed: &mut Following,
        ledger: &Arc<Mutex<Ledger>>,
        clients: Clients,
    ) -> Result<(), Error> {
        let placed = ledger.lock().tally().placed;
        match &self.step {
            Step::Placing | Step::Copied { .. } if clients == Clients::Stopped => {
                self.step = Step::Never;
            }
            Step::Placing if placed >= self.copy_at => {
                stack.copy_redis().await?;
                let at = Zoned::now();
                let orders = ledger.lock().tally().placed;
                say(format_args!(
                    "        Redis was copied at {} (an RDB file), after {} orders",
                    at.strftime("%H:%M:%S"),
                    grouped(orders)
                ));
                self.step = Step::Copied { at, orders };
            }
            Step::Copied { at, orders } if placed >= self.kill_at => {
                let note = at.timestamp() + NOTE_AGE;
                let is_due = clients != Clients::AtWork || is_noted(effects, note).await;
                if is_due {
                    stack.kill_redis().await?;
                    let killed_at = ledger.lock().tally().placed;
                    say(format_args!(
                        "        Redis was killed (SIGKILL) after {} orders",
                        grouped(killed_at)
                    ));
                    feed.stop().await;
                    ledger.lock().read_anew();
                    stack.put_copy_back().await?;
                    feed.start();
                    let older = killed_at.saturating_sub(*orders);
                    say(format_args!(
                        "        the copy of {}, {} orders older, was put back, and Redis was \
                         started",
                        at.strftime("%H:%M:%S"),
                        grouped(older)
                    ));
                    self.step = Step::Back { killed_at, older };
                }
            }
            Step::Back { killed_at, older } => {
                let healed = stack.sum(HEALED).await.unwrap_or(0);
                if healed > 0 {
                    say(format_args!(
                        "        Outflow went on from the position in it: {} events sent again",
                        grouped(healed)
                    ));
                    self.step = Step::Healed { killed_at: *killed_at, older: *older };
                }
            }
            Step::Placing | Step::Copied { .. } | Step::Healed { .. } | Step::Never => {}
        }
        Ok(())
    }

    /// Asks the programs what they have counted, as long as they run.
    pub(super) async fn count(&mut self, stack: &Stack) {
        self.counted = Counted {
            healed: stack.sum(HEALED).await.unwrap_or(0),
            duplicates: stack.sum(DUPLICATES).await.unwrap_or(0),
        };
    }

    /// What the summary says of it, once everything was read. Returns what is wrong.
    pub(super) fn report(&self, ledger: &Ledger) -> Vec<String> {
        let (Step::Back { killed_at, older } | Step::Healed { killed_at, older }) = &self.step
        else {
            say("chaos           Redis did not go back: the demo was stopped before");
            return Vec::new();
        };
        let (fate, Counted { healed, duplicates }) = (ledger.fate(), self.counted);
        say(format_args!(
            "chaos           Redis was killed after {} orders and came back {} orders older",
            grouped(*killed_at),
            grouped(*older)
        ));
        say(format_args!(
            "healed          {} events sent again ({HEALED}); {} of the {} lost entries that the \
             demo had read are back",
            grouped(healed),
            grouped(fate.anew),
            grouped(fate.gone)
        ));
        say(format_args!(
            "redelivered     {} entries came to a consumer that had handled their events; its \
             inbox skipped each ({DUPLICATES})",
            grouped(duplicates)
        ));
        let mut complaints = Vec::new();
        if healed == 0 {
            complaints.push(format!("the relay counts nothing that it sent again ({HEALED} is 0)"));
        }
        if fate.anew < fate.gone {
            let missing = fate.gone - fate.anew;
            complaints.push(format!("{missing} events that went with Redis have not come again"));
        }
        complaints
    }
}

/// Whether the relay's note of its position in Postgres is at least from then. A server that does
/// not say is asked again.
async fn is_noted(effects: &mut Effects, since: Timestamp) -> bool {
    effects.is_noted(since).await.unwrap_or(false)
}
