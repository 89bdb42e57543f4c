//! One look at a stream, which also trims it: the script, and what its answer says.

use std::time::Duration;

use crate::relay::options::{Trim, TrimWhen};
use outflow_connect::redis::{Args, Failure, Redis, Reply, Script};

/// The script.
pub const SCRIPT: &str = include_str!("upkeep.lua");

/// Looks at streams and trims them.
#[derive(Debug)]
pub struct Trimmer {
    redis: Redis,
    script: Script,
    rule: Trim,
}

/// What a look has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Time of Redis, in milliseconds since 1970.
    pub now_ms: i64,
    /// Entries that are left.
    pub entries: i64,
    /// Entries that were trimmed because every group had read them.
    pub trimmed_read: i64,
    /// Entries that were trimmed because of `max_len` or `max_age`.
    pub trimmed_over: i64,
    /// How many of these the group that lost most had not read and acknowledged.
    pub unread_trimmed: i64,
    /// Groups that must exist, and do not.
    pub missing: Vec<String>,
    /// Groups that exist.
    pub groups: Vec<GroupLook>,
}

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLook {
    /// Its name.
    pub name: String,
    /// Id of the last entry that was delivered to it.
    pub last_delivered: String,
    /// Entries that were delivered and not acknowledged, also those that are gone.
    pub pending: i64,
    /// Entries that were not delivered yet. `None`: Redis does not know; before version 7 never.
    pub lag: Option<i64>,
    /// Id of the oldest entry that is pending and still there.
    pub oldest_pending: Option<String>,
    /// Since when none of its consumers was seen; `None`: it has none, or they were not looked at.
    pub idle: Option<Duration>,
}

/// Why a stream cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// Redis refuses a command of the script, or the key is no stream.
    #[error("{0}")]
    Refused(String),
    /// There is no answer that helps.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl Trimmer {
    /// Nothing is sent yet.
    pub fn new(redis: Redis, rule: Trim) -> Self {
        Self { redis, script: Script::new(SCRIPT), rule }
    }

    /// The same with another script, which takes and answers the same: what leaves out a part of
    /// the rule must be found by its tests.
    #[must_use]
    pub fn running(self, script: Script) -> Self {
        Self { script, ..self }
    }

    /// Looks at a stream, and trims it as the rule says; `None` if there is no such key. It may be
    /// repeated at any time: whatever the last call did, an entry that a group still needs is not
    /// trimmed unless a limit is set.
    ///
    /// # Errors
    /// See [`LookError`].
    pub async fn look(&self, stream: &str) -> Result<Option<Look>, LookError> {
        let reply = self.redis.script(&self.script, &[stream], self.args()).await;
        let reply = reply.map_err(|failure| {
            if failure.is_withheld() {
                LookError::Refused(failure.to_string())
            } else {
                LookError::Failed(failure)
            }
        })?;
        parse(&reply)
    }

    fn args(&self) -> Args {
        let Trim { when, groups, keep_read, keep_read_entries, max_len, max_age, stale_after } =
            &self.rule;
        let mut args = Args::with_capacity(7 + groups.len());
        args.word(match when {
            TrimWhen::Never => "never",
            TrimWhen::Consumed => "consumed",
            TrimWhen::Length => "length",
        });
        args.int(millis(*keep_read)).int(signed(*keep_read_entries));
        args.int(signed(*max_len)).int(millis(*max_age)).int(i64::from(stale_after.is_some()));
        args.int(i64::try_from(groups.len()).unwrap_or(i64::MAX));
        for group in groups {
            args.text(group.as_str());
        }
        args
    }
}

impl Look {
    /// How many entries it has trimmed.
    pub fn trimmed(&self) -> i64 {
        self.trimmed_read + self.trimmed_over
    }
}

impl GroupLook {
    /// Whether it still needs entries that are there.
    pub fn holds(&self) -> bool {
        self.oldest_pending.is_some() || self.lag != Some(0)
    }
}

/// The time in an entry's id, in milliseconds since 1970.
pub fn time_of(id: &str) -> Option<i64> {
    id.split_once('-')?.0.parse().ok()
}

fn parse(reply: &Reply) -> Result<Option<Look>, LookError> {
    let unexpected = || {
        let what = format!("Redis gave an answer that does not fit the question: {}", reply.kind());
        LookError::Refused(what)
    };
    let (verdict, rest) = reply.items().split_first().ok_or_else(unexpected)?;
    match (verdict.string().as_deref(), rest) {
        (Some("ABSENT"), _) => Ok(None),
        (Some("REFUSED"), [why]) => {
            let why = why.string().unwrap_or_default();
            Err(LookError::Refused(format!("Redis refused: {}", why.trim_start_matches('-'))))
        }
        (Some("OK"), [now, entries, read, over, unread, missing, groups]) => {
            let number = |reply: &Reply| reply.int().ok_or_else(unexpected);
            let groups = groups.items().iter().map(group).collect::<Option<_>>();
            Ok(Some(Look {
                now_ms: number(now)?,
                entries: number(entries)?,
                trimmed_read: number(read)?,
                trimmed_over: number(over)?,
                unread_trimmed: number(unread)?,
                missing: missing.items().iter().filter_map(Reply::string).collect(),
                groups: groups.ok_or_else(unexpected)?,
            }))
        }
        _ => Err(unexpected()),
    }
}

fn group(reply: &Reply) -> Option<GroupLook> {
    let [name, last, pending, lag, oldest, idle] = reply.items() else { return None };
    Some(GroupLook {
        name: name.string()?,
        last_delivered: last.string()?,
        pending: pending.int()?,
        lag: lag.int(),
        oldest_pending: oldest.string().filter(|id| !id.is_empty()),
        idle: idle.int().and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
