//! The kinds of faults, by the names that ONLY takes.

use std::str::FromStr;

use clap::ValueEnum;

/// What can be done to the members, the servers and the network between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// SIGKILL of a member; it is started again.
    Kill,
    /// SIGSTOP of a member, longer than every timeout, then SIGCONT.
    Freeze,
    /// SIGTERM of a member; it is started again.
    Term,
    /// `pg_terminate_backend` on sessions of the relays.
    PgTerminate,
    /// Postgres stops without saving anything, and starts again.
    PgRestart,
    /// SIGKILL of Redis with `appendfsync always`, and a start.
    RedisKill,
    /// CLIENT KILL of a member's connection.
    ClientKill,
    /// CLIENT PAUSE.
    ClientPause,
    /// SCRIPT FLUSH, some times in a row.
    ScriptFlush,
    /// `maxmemory` below what is used, and raised again.
    Full,
    /// A stream is renamed away and its key holds a string; it is renamed back.
    WrongType,
    /// A member's rights are taken away and given back.
    Acl,
    /// A member's connections to Postgres are cut.
    PgCut,
    /// They are frozen: what was on its way arrives later.
    PgFreeze,
    /// They are slow.
    PgDelay,
    /// Postgres acts, and the member never hears of it.
    PgDrop,
    /// The same four with a member's connection to Redis.
    RedisCut,
    RedisFreeze,
    RedisDelay,
    RedisDrop,
    /// Ids are drawn long before their rows are there: by slow inserts, or by an earlier statement.
    LateIds,
    /// The sequence jumps, goes back, or an id far ahead is forced.
    IdJumps,
    /// The table is altered: types, names, a child, another table in its place; and it is altered
    /// back.
    Ddl,
    /// Redis comes back with an older copy of its files, the members being killed, stopped or
    /// alive.
    Restore,
    /// Redis comes back with an older RDB file.
    RedisRollback,
    /// Redis is emptied.
    RedisFlush,
    /// A replica of Redis that is behind takes over from the killed primary.
    RedisFailoverBehind,
    /// Postgres stops without saving anything, under many writers that wait for no disk.
    PgCrashAsync,
    /// Postgres is recovered to an earlier point in time, from a base backup and its log.
    PgPitr,
    /// Rows that cannot be read, are far too large, or that Postgres does not let go for a while.
    Poison,
    /// The outbox or a stream is paused; it is resumed, or the pause ends by itself.
    Pause,
    /// A consumer dies with entries that it has read; another one takes over. Only with TRIM=1.
    ConsumerKill,
    /// A group that trimming waits for is destroyed, and comes late. Only with TRIM=1.
    GroupLate,
}

impl Kind {
    /// Every kind: the list follows from the type.
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Those of a run in which the relay trims, or does not. What came back with an older Redis
    /// could not be told from what was trimmed, nor what Postgres has forgotten.
    pub(crate) fn of(trims: bool) -> Vec<Self> {
        let fits = |kind: &Self| match kind {
            Self::ConsumerKill | Self::GroupLate => trims,
            Self::PgCrashAsync => !trims,
            kind => !(trims && kind.is_alone()),
        };
        Self::all().iter().copied().filter(fits).collect()
    }

    /// Whether no other fault may be under way: what went back in time is counted to the event.
    pub(crate) fn is_alone(self) -> bool {
        self.takes_redis_back() || self == Self::PgPitr
    }

    /// Whether Redis comes back in an older state.
    pub(crate) fn takes_redis_back(self) -> bool {
        matches!(
            self,
            Self::Restore | Self::RedisRollback | Self::RedisFlush | Self::RedisFailoverBehind
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Freeze => "freeze",
            Self::Term => "term",
            Self::PgTerminate => "pg-terminate",
            Self::PgRestart => "pg-restart",
            Self::RedisKill => "redis-kill",
            Self::ClientKill => "client-kill",
            Self::ClientPause => "client-pause",
            Self::ScriptFlush => "script-flush",
            Self::Full => "full",
            Self::WrongType => "wrong-type",
            Self::Acl => "acl",
            Self::PgCut => "pg-cut",
            Self::PgFreeze => "pg-freeze",
            Self::PgDelay => "pg-delay",
            Self::PgDrop => "pg-drop",
            Self::RedisCut => "redis-cut",
            Self::RedisFreeze => "redis-freeze",
            Self::RedisDelay => "redis-delay",
            Self::RedisDrop => "redis-drop",
            Self::LateIds => "late-ids",
            Self::IdJumps => "id-jumps",
            Self::Ddl => "ddl",
            Self::Restore => "restore",
            Self::RedisRollback => "redis-rollback",
            Self::RedisFlush => "redis-flush",
            Self::RedisFailoverBehind => "redis-failover-behind",
            Self::PgCrashAsync => "postgres-crash-async",
            Self::PgPitr => "postgres-pitr",
            Self::Poison => "poison",
            Self::Pause => "pause",
            Self::ConsumerKill => "consumer-kill",
            Self::GroupLate => "group-late",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::all().iter().copied().find(|kind| kind.name() == name);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::all().iter().map(|kind| kind.name()).collect();
            format!("{name:?} is no fault; expected {}", names.join(", "))
        })
    }
}
