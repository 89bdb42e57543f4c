//! Back-pressure before Redis is full: asks Redis for its memory, and holds all outboxes while it
//! is nearly used up.

mod memory;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::valve::Valve;
use crate::config::{Config, MemoryLimits};
use crate::relay::hold::{HoldReason, Holds};
use memory::{Memory, Verdict};
use outflow_connect::redis::{Args, Failure, Redis, Server};

/// Pause between two questions, at most.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause after a question that has no answer.
const FAILED_PAUSE: Duration = Duration::from_millis(500);
/// How long to wait for the connection before it is asked all the same.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What is watched. A reload that changes it starts another watch.
#[derive(Clone)]
pub(super) struct Pressure {
    server: Server,
    limits: Option<MemoryLimits>,
    /// Each stands for a master of a cluster that has streams of ours.
    tags: BTreeSet<String>,
}

impl Pressure {
    pub(super) fn of(config: &Config) -> Self {
        let tags = config.outboxes.iter();
        let tags = tags.map(|outbox| outbox.stream.hash_tag().unwrap_or_default().to_owned());
        Self { server: config.redis.clone(), limits: config.memory, tags: tags.collect() }
    }

    /// Watches until the handle is dropped. Nothing is held by what an earlier watch had found.
    pub(super) fn watch(self, holds: &Holds) -> Option<AbortOnDropHandle<()>> {
        let Some(limits) = self.limits else {
            holds.set(HoldReason::Memory, None, None);
            return None;
        };
        let holds = holds.clone();
        Some(outflow_core::task::owned(async move {
            // An address that cannot be used was refused when it was read.
            let Ok(redis) = Redis::connect(&self.server, "outflow memory") else { return };
            Watch {
                redis,
                tags: self.tags,
                limits,
                holds,
                valve: Valve::default(),
                said: String::new(),
            }
            .keep()
            .await;
        }))
    }
}

struct Watch {
    redis: Redis,
    tags: BTreeSet<String>,
    limits: MemoryLimits,
    holds: Holds,
    valve: Valve,
    /// Why the limit is off, or cannot be looked after: it is told once.
    said: String,
}

impl Watch {
    async fn keep(mut self) {
        loop {
            // Without a connection there is no answer to wait for.
            let _ = self.redis.ready(CONNECT_LIMIT).await;
            let (step, pause) = match self.ask().await {
                Ok(step) => (step, PAUSE),
                Err(failure) => {
                    self.not_asked(&failure);
                    (u64::MAX, FAILED_PAUSE)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.holds.much_appended(step) => {}
            }
        }
    }

    /// Asks each server, and heeds the fullest. Returns after how many bytes to ask again.
    async fn ask(&mut self) -> Result<u64, Failure> {
        let is_held = self.holds.is_set(HoldReason::Memory, None);
        let (mut why, mut off, mut step) = (None, None, u64::MAX);
        let mut is_above = false;
        for tag in self.tags.clone() {
            let server = self.redis.server_of(&tag).await?;
            let info = server.call("INFO", Args::from(["memory"])).await?;
            let memory = Memory::parse(&info.string().unwrap_or_default());
            step = step.min(memory.step(self.limits));
            match memory.verdict(self.limits) {
                Verdict::Off(reason) => off = Some(reason),
                Verdict::Below => {}
                Verdict::Between => why = why.or_else(|| Some(memory.told(self.limits))),
                Verdict::Above => {
                    is_above = true;
                    why = Some(memory.told(self.limits));
                }
            }
        }
        let waits = self.valve.waits(is_held, is_above, why.is_none());
        let why = why.filter(|_| waits);
        match off {
            Some(reason) if self.said != reason => {
                tracing::info!("redis.memory_pause is off: {reason}");
                reason.clone_into(&mut self.said);
            }
            Some(_) => {}
            None => self.said.clear(),
        }
        let is_full = why.is_some();
        let told = why.clone().unwrap_or_default();
        if self.holds.set(HoldReason::Memory, None, why) {
            if is_full {
                tracing::warn!("claiming no events: {told}");
            } else {
                tracing::info!("Redis has room again: claiming events");
            }
        }
        Ok(step)
    }

    /// Without an answer what was found last holds on; a server that refuses to tell will not tell
    /// that there is room, either.
    fn not_asked(&mut self, failure: &Failure) {
        if !failure.is_withheld() {
            return;
        }
        self.holds.set(HoldReason::Memory, None, None);
        let reason = failure.to_string();
        if self.said != reason {
            tracing::warn!(
                reason,
                "redis.memory_pause has no effect: Redis does not tell its memory; `outflow \
                    check` says what to do"
            );
            self.said = reason;
        }
    }
}
