//! One run of the demo from start to verdict.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::board::{lag, say, show};
use super::effects::Effects;
use super::feed::Following;
use super::interrupt::Interrupts;
use super::ledger::Ledger;
use super::plan::{Chaos, Plan};
use super::rollback::{Clients, Rollback};
use super::shop::Shop;
use super::stack::Stack;
use super::tally::Tally;
use outflow_local::Error;

const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How often the tables are read once the last order is placed.
const WAIT_INTERVAL: Duration = Duration::from_millis(100);
/// How often a program is killed, if they are.
const KILL_INTERVAL: Duration = Duration::from_secs(1);
/// How often the next step of a rollback may be due.
const STEP_INTERVAL: Duration = Duration::from_millis(50);
/// How long nothing may move before the rest counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The counts of orders.
    pub tally: Tally,
    /// What else is wrong: in the inventory, or at stopping. Empty when all is well.
    pub complaints: Vec<String>,
    /// Whether a signal kept it from placing the orders that it was asked for.
    pub interrupted: bool,
}

impl Outcome {
    fn interrupted() -> Self {
        Self { interrupted: true, ..Self::default() }
    }

    /// Whether every order arrived once, in order, and nothing else is wrong.
    pub fn is_success(&self) -> bool {
        self.tally.is_clean() && self.complaints.is_empty() && !self.interrupted
    }
}

/// Runs the demo in a temporary directory, which is removed at the end whatever happens.
///
/// # Errors
/// A server or program that does not start, or that ends by itself.
pub async fn run(plan: Plan, interrupts: &Interrupts) -> Result<Outcome, Error> {
    let temporary = std::env::temp_dir();
    let dir = tempfile::Builder::new().prefix("outflow-demo-").tempdir();
    let dir = dir.map_err(Error::io("making a directory in", &temporary))?;
    let outcome = tokio::select! {
        outcome = in_directory(dir.path(), plan, &interrupts.stop) => outcome,
        // Dropping the other future kills what it started.
        () = interrupts.abort.cancelled() => Ok(Outcome::interrupted()),
    };
    let path = dir.path().to_owned();
    dir.close().map_err(Error::io("removing", &path))?;
    outcome
}

async fn in_directory(dir: &Path, plan: Plan, stop: &CancellationToken) -> Result<Outcome, Error> {
    let mut stack = tokio::select! {
        stack = Stack::start(dir, &plan) => stack?,
        () = stop.cancelled() => return Ok(Outcome::interrupted()),
    };
    say(stack.hints());
    say("lag             from the start of an order's transaction to its event's arrival in a \
            blocked XREAD\n");
    let mut session = Session::open(&stack, plan, stop.clone());
    session.watch(&mut stack).await?;
    let mut outcome = session.check(&mut stack).await;
    let missing = plan.orders.unwrap_or(0).saturating_sub(outcome.tally.placed);
    if missing > 0 && stop.is_cancelled() {
        outcome.interrupted = true;
    } else if missing > 0 {
        outcome.complaints.push(format!("{missing} orders could not be placed"));
    }
    Ok(outcome)
}

/// The parts that place, read and count.
struct Session {
    ledger: Arc<Mutex<Ledger>>,
    shop: Arc<Shop>,
    clients: JoinSet<()>,
    /// Nobody places orders any more.
    closing: CancellationToken,
    feed: Following,
    effects: Effects,
    started: Instant,
    /// The counts of the last line.
    shown: Tally,
    /// Whether programs are killed.
    kills: bool,
    rollback: Option<Rollback>,
}

impl Session {
    fn open(stack: &Stack, plan: Plan, closing: CancellationToken) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new()));
        let mut feed = Following::new(stack.redis_url(), Arc::clone(&ledger));
        feed.start();
        let effects = Effects::new(stack.postgres_url(), plan.keeps());
        let (shop, clients) = Shop::open(&stack.api, plan, Arc::clone(&ledger), closing.clone());
        let goes_back = plan.chaos == Some(Chaos::RedisRollback);
        Self {
            ledger,
            shop,
            clients,
            closing,
            feed,
            effects,
            started: Instant::now(),
            shown: Tally::default(),
            kills: plan.chaos == Some(Chaos::Programs),
            rollback: goes_back.then(|| Rollback::new(plan.rollback())),
        }
    }

    /// Shows a line a second until every placed order was consumed, or nothing has moved for 30 s.
    async fn watch(&mut self, stack: &mut Stack) -> Result<(), Error> {
        let mut lines = ticks(LINE_INTERVAL);
        let mut waits = ticks(WAIT_INTERVAL);
        let mut settled = false;
        let mut kills = ticks(KILL_INTERVAL);
        let mut steps = ticks(STEP_INTERVAL);
        kills.tick().await;
        lines.tick().await;
        let (mut before, mut moved) = (Tally::default(), Instant::now());
        loop {
            let placing = !self.clients.is_empty();
            tokio::select! {
                _ = lines.tick() => self.line().await,
                _ended = self.clients.join_next(), if placing => continue,
                _ = kills.tick(), if placing && self.kills => {
                    let killed = stack.kill_one()?;
                    say(format_args!("        killed {killed}"));
                }
                _ = steps.tick(), if !self.is_calm() => self.go_back(stack, placing).await?,
                _ = waits.tick(), if !placing => {
                    // In this order: the last events are written when orders come to agree.
                    let disagreements = self.effects.disagreements().await;
                    let backlog = self.effects.refresh(&self.ledger).await;
                    settled = backlog == Ok(0) && disagreements.is_ok_and(|lines| lines.is_empty());
                    if settled && self.ledger().tally().lost() > 0 {
                        self.effects.start_over();
                    }
                }
            }
            stack.check()?;
            let now = self.ledger().tally();
            if now != before {
                (before, moved) = (now, Instant::now());
            }
            let in_vain = moved.elapsed() > PATIENCE;
            if in_vain {
                say(format_args!("nothing has moved for {PATIENCE:?}: no longer waiting"));
            }
            if in_vain || !placing && settled && now.lost() == 0 && self.is_calm() {
                if now != self.shown {
                    self.line().await;
                }
                return Ok(());
            }
        }
    }

    /// Whether no rollback is still to come.
    fn is_calm(&self) -> bool {
        self.rollback.as_ref().is_none_or(Rollback::is_over)
    }

    async fn go_back(&mut self, stack: &mut Stack, placing: bool) -> Result<(), Error> {
        let Some(rollback) = &mut self.rollback else { return Ok(()) };
        let clients = if placing {
            Clients::AtWork
        } else if self.closing.is_cancelled() {
            Clients::Stopped
        } else {
            Clients::Done
        };
        rollback.advance(stack, &mut self.effects, &mut self.feed, &self.ledger, clients).await
    }

    async fn line(&mut self) {
        let backlog = self.effects.refresh(&self.ledger).await;
        let (tally, lags) = {
            let mut ledger = self.ledger();
            (ledger.tally(), ledger.take_recent_lags())
        };
        self.shown = tally;
        show(self.started, tally, &lags, backlog.as_ref().ok().copied());
        let troubles = [
            self.shop.take_trouble(),
            backlog.err().map(|error| format!("reading the tables: {error}")),
        ];
        for trouble in troubles.into_iter().flatten() {
            say(format_args!("        {trouble}"));
        }
    }

    /// Stops the programs, reads what they left, and compares.
    async fn check(&mut self, stack: &mut Stack) -> Outcome {
        self.clients.abort_all();
        let mut complaints = Vec::new();
        if let Some(rollback) = &mut self.rollback {
            rollback.count(stack).await;
        }
        complaints.extend(stack.stop_programs().await.err().map(|error| error.to_string()));
        if let Some(mut feed) = self.feed.stop().await {
            complaints.extend(
                feed.drain()
                    .await
                    .err()
                    .map(|error| format!("reading the streams to their end: {error}")),
            );
        }
        self.effects.start_over();
        match self.effects.refresh(&self.ledger).await {
            Ok(0) => {}
            Ok(left) => complaints.push(format!("{left} events were not relayed")),
            Err(error) => complaints.push(format!("reading the tables: {error}")),
        }
        match self.effects.inventory().await {
            Ok(inventory) => complaints.extend(self.ledger().audit(&inventory)),
            Err(error) => complaints.push(format!("reading the inventory: {error}")),
        }
        match self.effects.disagreements().await {
            Ok(lines) => complaints.extend(lines),
            Err(error) => complaints.push(format!("comparing orders, stock and payments: {error}")),
        }
        let tally = self.ledger().tally();
        let agree = if complaints.is_empty() { "agree" } else { "do not agree" };
        if !tally.is_clean() || !complaints.is_empty() {
            complaints.push(stack.log_tails());
        }
        let [confirmed, rejected, cancelled] = self.ledger().ends();
        say(format_args!(
            "\norders          {confirmed} confirmed, {rejected} rejected, {cancelled} cancelled"
        ));
        say(format_args!("saga            stock, reservations, payments and orders {agree}"));
        if stack.killed > 0 {
            say(format_args!("chaos           {} programs killed", stack.killed));
        }
        if let Some(rollback) = &self.rollback {
            complaints.extend(rollback.report(&self.ledger()));
        }
        say(format_args!("all events      {}", lag(self.ledger().lags())));
        Outcome { tally, complaints, interrupted: false }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock()
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
