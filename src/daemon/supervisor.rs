//! The relays at work: started, waited for, and exchanged when the configuration changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::outbox;
use super::pressure::Pressure;
use super::reload::{self, Exchange};
use crate::config::{Config, Source, load};
use crate::daemon::systemd;
use crate::observe::metrics::{Metrics, OutboxMetrics};
use crate::observe::outboxes::Outboxes;
use crate::observe::traces::Exporter;
use crate::relay::Mode;
use crate::relay::options::OutboxOptions;
use outflow_core::fault::Fault;
use outflow_service::telemetry::Log;

/// What a daemon starts with.
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Where it is read from again.
    pub source: Source,
    /// When to stop.
    pub mode: Mode,
    /// The log, whose level a reload may change.
    pub log: Log,
    /// Where the outboxes at work are shown.
    pub outboxes: Outboxes,
    /// Where the configuration in force is shown, which a reload changes.
    pub in_force: watch::Sender<Arc<Config>>,
}

pub(super) struct Supervisor {
    config: Arc<Config>,
    source: Source,
    mode: Mode,
    log: Log,
    in_force: watch::Sender<Arc<Config>>,
    metrics: Metrics,
    exporter: Option<Exporter>,
    outboxes: Outboxes,
    stop: CancellationToken,
    running: BTreeMap<String, Running>,
    tasks: JoinSet<(String, Result<Option<Fault>, Fault>)>,
    outcome: Result<(), Fault>,
    /// Holds the relays while Redis has little memory left.
    pressure: Option<AbortOnDropHandle<()>>,
}

/// A relay at work.
struct Running {
    metrics: OutboxMetrics,
    stop: CancellationToken,
    task: AbortHandle,
}

impl Supervisor {
    /// Starts a relay for each outbox.
    pub(super) fn new(
        start: Start,
        metrics: Metrics,
        exporter: Option<Exporter>,
        stop: CancellationToken,
    ) -> Self {
        let Start { config, source, mode, log, outboxes, in_force } = start;
        let pressure = Pressure::of(&config).watch(metrics.holds());
        let mut supervisor = Self {
            config: Arc::new(config),
            source,
            mode,
            log,
            in_force,
            metrics,
            exporter,
            outboxes,
            stop,
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            outcome: Ok(()),
            pressure,
        };
        for outbox in supervisor.config.outboxes.clone() {
            let metrics = supervisor.metrics.outbox(&outbox.name);
            supervisor.start(outbox, metrics);
        }
        supervisor.show();
        supervisor
    }

    /// Waits for every relay; the first that cannot start stops the others, which still drain.
    pub(super) async fn run(&mut self, mut hangups: mpsc::Receiver<()>) -> Result<(), Fault> {
        let stop = self.stop.clone();
        while !self.tasks.is_empty() {
            // As it is configured now: a reload may have changed it.
            let grace = self.config.shutdown_grace;
            let overdue = async {
                stop.cancelled().await;
                tokio::time::sleep(grace).await;
            };
            tokio::select! {
                () = self.until_no_relay_works() => {}
                () = overdue => {
                    let limit = humantime::format_duration(grace);
                    return Err(Fault::failed(format!(
                        "what was in flight was not settled within {limit}: aborted; it is \
                            recovered at the next start"
                    )));
                }
                Some(()) = hangups.recv(), if !stop.is_cancelled() => self.reload().await,
            }
        }
        std::mem::replace(&mut self.outcome, Ok(()))
    }

    async fn until_no_relay_works(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<(String, Result<Option<Fault>, Fault>), JoinError>) {
        let error = match ended {
            Ok((name, Ok(None))) => {
                self.running.remove(&name);
                return;
            }
            // The others go on.
            Ok((name, Ok(Some(paused)))) => {
                self.running.remove(&name);
                tracing::error!("{paused}");
                self.outcome = std::mem::replace(&mut self.outcome, Ok(())).and(Err(paused));
                return;
            }
            Ok((name, Err(error))) => {
                self.running.remove(&name);
                error
            }
            // Overdue at a reload: said then.
            Err(aborted) if aborted.is_cancelled() => return,
            Err(panic) => Fault::failed(format!("a relay has ended unexpectedly: {panic}")),
        };
        tracing::error!("{error}");
        self.stop.cancel();
        self.outcome = std::mem::replace(&mut self.outcome, Ok(())).and(Err(error));
    }

    fn start(&mut self, outbox: OutboxOptions, metrics: OutboxMetrics) {
        let (name, stop) = (outbox.name.clone(), self.stop.child_token());
        let spans = self
            .exporter
            .as_ref()
            .map(|exporter| exporter.outbox(&name, &outbox.stream.to_string()));
        let metrics = metrics.traced(spans);
        let relay = outbox::relay(
            Arc::clone(&self.config),
            outbox,
            metrics.clone(),
            self.mode,
            stop.clone(),
        );
        let of_task = name.clone();
        let task = self.tasks.spawn(async move { (of_task, relay.await) });
        self.running.insert(name, Running { metrics, stop, task });
    }

    fn show(&self) {
        let metrics = |outbox: &OutboxOptions| {
            self.running.get(&outbox.name).map(|running| running.metrics.clone())
        };
        self.outboxes.set(self.config.outboxes.iter().filter_map(metrics).collect());
    }

    /// Reads the configuration again. One that cannot be used changes nothing.
    async fn reload(&mut self) {
        tracing::info!("received SIGHUP: reading the configuration again");
        systemd::reloading().await;
        let outcome = match load(&self.source) {
            Ok(config) => self.change_to(config).await,
            Err(problem) => Err(problem.to_string()),
        };
        match &outcome {
            Ok(()) => tracing::info!("reloaded: the new configuration is in effect"),
            Err(reason) => tracing::error!(
                reason,
                "rejected the new configuration: the old one stays in effect"
            ),
        }
        self.metrics.reloads().ended(outcome.as_ref().map_err(String::as_str).copied());
        systemd::reloaded().await;
    }

    async fn change_to(&mut self, config: Config) -> Result<(), String> {
        let exchange = Exchange::between(&self.config, &config);
        reload::try_out(&self.config, &config, &exchange).await?;
        self.log.set_level(&config.log_level)?;
        for key in reload::needs_restart(&self.config, &config) {
            tracing::warn!(key, "a changed key takes effect only after a restart");
        }
        let Exchange { stopped, started } = exchange;
        tracing::info!(?stopped,
            started = ?started.iter().map(|outbox| &outbox.name).collect::<Vec<_>>(), "stopping \
                and starting the outboxes whose configuration changed");
        let mut known = self.put_down(&stopped).await;
        self.config = Arc::new(config);
        self.in_force.send_replace(Arc::clone(&self.config));
        // The old one ends first: what it has found may not hold any more.
        drop(self.pressure.take());
        self.pressure = Pressure::of(&self.config).watch(self.metrics.holds());
        for outbox in started {
            // The same series go on counting.
            let metrics =
                known.remove(&outbox.name).unwrap_or_else(|| self.metrics.outbox(&outbox.name));
            self.start(outbox, metrics);
        }
        known.values().for_each(OutboxMetrics::retire);
        self.show();
        Ok(())
    }

    /// Stops these relays, which settle what is in flight and hand their slots over, and waits for
    /// them. Returns their metrics.
    async fn put_down(&mut self, names: &[String]) -> BTreeMap<String, OutboxMetrics> {
        let mut known = BTreeMap::new();
        for (name, running) in self.running.iter().filter(|(name, _)| names.contains(name)) {
            running.stop.cancel();
            known.insert(name.clone(), running.metrics.clone());
        }
        let grace = self.config.shutdown_grace;
        let ending = async {
            while self.running.keys().any(|name| names.contains(name)) {
                let Some(ended) = self.tasks.join_next().await else { break };
                self.note(ended);
            }
        };
        if tokio::time::timeout(grace, ending).await.is_err() {
            for name in names {
                if let Some(running) = self.running.remove(name) {
                    tracing::warn!(
                        outbox = name,
                        "the outbox did not stop within shutdown_grace: aborted it; the next \
                            recovery settles the batches that were in flight"
                    );
                    running.task.abort();
                }
            }
        }
        known
    }
}
