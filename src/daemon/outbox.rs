//! One outbox's relay, from its table to its end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::leftovers::Leftovers;
use super::parts::Parts;
use super::upkeep::Upkeep;
use super::watch::Watch;
use crate::config::Config;
use crate::observe::metrics::OutboxMetrics;
use crate::relay::Mode;
use crate::relay::kept;
use crate::relay::observer::Observer as _;
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::servers::Servers;
use crate::relay::outbox::table::Table;
use crate::relay::pause::Pause;
use crate::relay::sink::needs;
use outflow_connect::postgres::{self, connect, together};
use outflow_connect::redis::Redis;
use outflow_core::fault::{Fault, FaultKind};

/// Pauses between looks at a server that is down at the start, or at a table that has changed.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Between looks at a table of which something is missing: somebody may be at work on it.
const MISSING_PAUSE: Duration = Duration::from_millis(500);
/// For a look at the table.
const SESSION: &str = "set statement_timeout = '30s'; set lock_timeout = '10s';";
/// Reasons that are told of one wait.
const REASONS_MAX: usize = 8;
/// How long `--once` waits for its servers.
const ONCE_CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Relays one outbox until it is stopped, or empty. A table that changes meanwhile is examined
/// again, and a new relay goes on with what it is then. `--once` ends at a pause: `Ok(Some)` says
/// so, and is no reason to stop the other outboxes.
pub(super) async fn relay(
    config: Arc<Config>,
    outbox: OutboxOptions,
    metrics: OutboxMetrics,
    mode: Mode,
    stop: CancellationToken,
) -> Result<Option<Fault>, Fault> {
    let servers = config.servers();
    let mut look =
        Look { servers, outbox: &outbox, metrics: &metrics, mode, stop: &stop, pauses: pauses() };
    let Some(mut table) = look.first().await? else { return Ok(None) };
    let redis = Redis::connect(&config.redis, "outflow")
        .map_err(|bad| Fault::from(bad).at("redis.url"))?
        .waiting_for(config.wait_replicas);
    let place = config.redis.place();
    match (redis.ready(ONCE_CONNECT_LIMIT).await, mode) {
        (Ok(()), _) => {
            let tag = outbox.stream.hash_tag().unwrap_or_default();
            let met = needs::are_met(&redis, tag, config.wait_replicas).await;
            met.map_err(|fault| fault.at(format_args!("redis.url: {place}")))?;
        }
        (Err(failure), Mode::Once) => return Err(failure.into()),
        (Err(_away), Mode::Daemon) => {}
    }
    let _watch = Watch::over(&config, &outbox, &metrics, mode);
    let mut leftovers = Leftovers::default();
    // What sessions had prepared may be all that is outdated, once.
    let mut was_same = false;
    loop {
        let written = Arc::default();
        let parts = Parts {
            outbox: &outbox,
            servers,
            redis: &redis,
            place: &place,
            written: &written,
            metrics: &metrics,
        };
        let _upkeep = (mode == Mode::Daemon).then(|| {
            let upkeep = Upkeep::new(&outbox, &table.journal, &redis, &written, &metrics);
            outflow_core::task::owned(upkeep.keep())
        });
        let outcome = parts.run(table.clone(), mode, &stop).await?;
        let Some(changed) = outcome else {
            let pauses = metrics.pauses();
            if let Some(pause) = pauses.iter().find(|pause| pause.stream.is_none())
                && mode == Mode::Once
                && !stop.is_cancelled()
            {
                redis.close().await;
                return Ok(Some(paused(&outbox, pause)));
            }
            if mode == Mode::Daemon
                || stop.is_cancelled()
                || !leftovers.remain(servers.direct(), &outbox, &metrics).await?
            {
                break;
            }
            continue;
        };
        let Some(found) = look.again(&changed).await? else { break };
        // Another table indeed. The same one would be refused again, and is tried at growing
        // pauses.
        if found != table {
            look.pauses = pauses();
            was_same = false;
        } else if mode == Mode::Once && std::mem::replace(&mut was_same, true) {
            return Err(unchanged(&outbox, &changed));
        }
        table = found;
    }
    redis.close().await;
    Ok(None)
}

/// What was not drained, and why.
fn paused(outbox: &OutboxOptions, pause: &Pause) -> Fault {
    let name = &outbox.name;
    Fault::failed(format!("outbox {name:?} is paused {pause}; its events were not drained"))
        .remedy(format!("`outflow resume --outbox {name}` ends the pause"))
}

/// Looks at a table, as long as it takes.
struct Look<'a> {
    servers: Servers<'a>,
    outbox: &'a OutboxOptions,
    metrics: &'a OutboxMetrics,
    mode: Mode,
    stop: &'a CancellationToken,
    /// They grow while what is found does not last.
    pauses: ExponentialBackoff,
}

impl Look<'_> {
    /// At the start: what is missing is told at once. `None` when asked to stop.
    async fn first(&mut self) -> Result<Option<Table>, Fault> {
        self.examine(false).await
    }

    /// After a change. A daemon ends for nothing that somebody may be at work on: it says what is
    /// missing, and waits.
    async fn again(&mut self, changed: &str) -> Result<Option<Table>, Fault> {
        tracing::warn!(
            outbox = self.outbox.name,
            changed,
            "the table's definition has changed: examining it again"
        );
        self.metrics.down(changed);
        self.pause().await;
        let table = self.examine(self.mode == Mode::Daemon).await?;
        if let Some(table) = &table {
            tracing::info!(
                outbox = self.outbox.name,
                oid = table.oid,
                "examined the table: resuming"
            );
        }
        Ok(table)
    }

    async fn examine(&mut self, waits: bool) -> Result<Option<Table>, Fault> {
        let mut known = BTreeSet::new();
        while !self.stop.is_cancelled() {
            let looked = match connect(self.servers.direct()).await {
                Ok(client) => looked_up(self.servers, &client, self.outbox).await,
                Err(fault) => Err(fault),
            };
            let fault = match looked {
                Ok(table) => return Ok(Some(table)),
                Err(fault) if self.gives_up(fault.kind(), waits) => return Err(fault),
                Err(fault) => fault,
            };
            let is_missing = fault.kind() == FaultKind::Unfit;
            let what = if is_missing { "cannot go on" } else { "cannot reach Postgres" };
            if self.mode == Mode::Once {
                return Err(fault.at(what));
            }
            let reason = fault.to_string();
            self.metrics.down(&reason);
            // Reasons may take turns: each is told once.
            if known.len() < REASONS_MAX && known.insert(reason.clone()) {
                tracing::warn!(
                    outbox = self.outbox.name,
                    reason,
                    "{what}: retrying until it succeeds"
                );
            }
            if is_missing { self.rest(MISSING_PAUSE).await } else { self.pause().await }
        }
        Ok(None)
    }

    /// Whether to end instead of waiting. `waits`: somebody may be at work on the table.
    fn gives_up(&self, kind: FaultKind, waits: bool) -> bool {
        let is_once = self.mode == Mode::Once;
        match kind {
            FaultKind::Configuration | FaultKind::Refused | FaultKind::Unfit => !waits,
            // Of several hosts another one may be promoted, and then it works.
            FaultKind::ReadOnly => is_once || !waits && self.servers.direct().hosts().len() <= 1,
            // A certificate is renewed, and then it works: no reason to end for a daemon.
            FaultKind::Insecure => is_once,
            FaultKind::Unavailable
            | FaultKind::NotReady
            | FaultKind::Unreachable
            | FaultKind::Failed => false,
        }
    }

    async fn pause(&mut self) {
        let length = self.pauses.next().unwrap_or(PAUSE_MAX);
        self.rest(length).await;
    }

    async fn rest(&self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Rows that were copied here with their transactions' numbers.
fn of_another_server(outbox: &OutboxOptions, id: i64) -> Fault {
    let (name, table) = (&outbox.name, &outbox.table);
    let what = format!(
        "outbox {name:?}: row {id} of {table} was written by a transaction that this server has \
            not begun: it was restored from a dump or copied by logical replication"
    );
    Fault::new(FaultKind::Unfit, what).remedy(format!(
        "stop the relays and run `outflow position set --outbox {name} --now` (or --at TIME, \
            --beginning): it gives such rows numbers of this server"
    ))
}

/// Of a refusal that nobody's change explains.
fn unchanged(outbox: &OutboxOptions, refusal: &str) -> Fault {
    let what = format!(
        "outbox {:?}: {refusal}; {} has not changed meanwhile: a rule or what a trigger calls may \
            be the reason",
        outbox.name, outbox.table
    );
    Fault::new(FaultKind::Unfit, what).remedy("`outflow check` looks for the cause")
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default().with_min_delay(PAUSE_MIN).with_max_delay(PAUSE_MAX);
    pauses.with_jitter().without_max_times().build()
}

/// Over sessions of its own, before anything is set in one, and the table with all that it needs.
pub(super) async fn looked_up(
    servers: Servers<'_>,
    client: &Client,
    outbox: &OutboxOptions,
) -> Result<Table, Fault> {
    let direct = servers.direct();
    let shares = postgres::shares_sessions(direct, client).await;
    if shares.map_err(Fault::unreachable)? {
        let what = format!("outbox {:?}: {}: {}", outbox.name, direct.key(), postgres::POOLED);
        let remedy = if servers.control.is_some() {
            postgres::UNPOOLED
        } else {
            postgres::UNPOOLED_OR_CONTROL
        };
        return Err(Fault::new(FaultKind::Unfit, what).remedy(remedy));
    }
    if servers.control.is_some() {
        let work = connect(servers.work).await?;
        together((client, direct), (&work, servers.work)).await?;
    }
    client.batch_execute(&postgres::session(SESSION)).await.map_err(postgres::not_answered)?;
    if let Settle::Keep(keep) = &outbox.settle {
        kept::table::Table::inspect(client, outbox).await?;
        let foreign = kept::table::foreign(client, outbox, keep).await;
        if let Some(id) = foreign.map_err(postgres::not_answered)? {
            return Err(of_another_server(outbox, id));
        }
    }
    Table::inspect(client, outbox).await
}
