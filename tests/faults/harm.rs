//! How each kind of fault is done, and undone.

use std::time::Duration;

use fastrand::Rng;
use outflow_local::{Signal, eventually};
use tokio::time::sleep;

use super::ddl;
use super::ids;
use super::kept;
use super::kind::Kind;
use super::pause;
use super::pitr;
use super::poison;
use super::proxy::Mode;
use super::restore::{self, Fate};
use super::stage::{LIMIT, Stage, Way};
use super::writers::reckless;

/// How long faults last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// SIGSTOP, in seconds.
    pub(crate) freeze: (u64, u64),
    /// Everything else, in milliseconds.
    pub(crate) usual: (u64, u64),
    /// One in so many of those that something waits for is longer than the timeouts instead; 0:
    /// none.
    pub(crate) long: u32,
}

impl Scale {
    /// Longer than every timeout: a claim may idle for 11 s, a recovery for 12, a member for 10;
    /// Redis is given up after 10, a connection after 15, Postgres after 40.
    pub(crate) const FULL: Self = Self { freeze: (62, 66), usual: (500, 5_000), long: 3 };
    /// Longer than what decides about a frozen member: its seat is lost after 10 s, a recovery
    /// after 12.
    pub(crate) const SHORT: Self = Self { freeze: (13, 14), usual: (300, 2_000), long: 0 };
    const LONG_MS: (u64, u64) = (12_000, 21_000);

    fn pause(self, rng: &mut Rng) -> Duration {
        Duration::from_millis(rng.u64(self.usual.0..=self.usual.1))
    }

    fn wait(self, rng: &mut Rng) -> Duration {
        if self.long > 0 && rng.u32(0..self.long) == 0 {
            return Duration::from_millis(rng.u64(Self::LONG_MS.0..=Self::LONG_MS.1));
        }
        self.pause(rng)
    }
}

/// Does it and undoes it; what it was, in words.
pub(crate) async fn harm(stage: &Stage, kind: Kind, scale: Scale, rng: &mut Rng) -> String {
    if kind.is_alone() {
        return take_back(stage, kind, rng).await;
    }
    let _not_alone = stage.quiet.read().await;
    let member = rng.usize(0..stage.members.len());
    let name = stage.members[member].name.clone();
    match kind {
        Kind::Kill | Kind::Term => end(stage, kind, member, scale.pause(rng)).await,
        Kind::Freeze => {
            let length = Duration::from_secs(rng.u64(scale.freeze.0..=scale.freeze.1));
            stage.members[member].program.lock().await.signal(Signal::SIGSTOP);
            sleep(length).await;
            stage.members[member].program.lock().await.signal(Signal::SIGCONT);
            format!("{name} for {length:?}")
        }
        Kind::PgTerminate => terminate(stage, &name, rng).await,
        Kind::PgRestart => {
            let mut postgres = stage.postgres.lock().await;
            postgres.stop_immediate().await.expect("its end");
            let down = scale.pause(rng);
            sleep(down).await;
            postgres.start_again().await.expect("a start");
            format!("down for {down:?}")
        }
        Kind::RedisKill => {
            let mut redis = stage.redis.lock().await;
            redis.kill().await.expect("its end");
            let down = scale.pause(rng);
            sleep(down).await;
            redis.start_again().await.expect("a start");
            format!("down for {down:?}")
        }
        Kind::ClientKill => {
            let killed = stage.command("CLIENT", &["KILL", "USER", &name]).await;
            format!("{name}: {killed:?}")
        }
        Kind::ClientPause => {
            let length = scale.wait(rng);
            let sort = if rng.bool() { "ALL" } else { "WRITE" };
            let _ =
                stage.command("CLIENT", &["PAUSE", &length.as_millis().to_string(), sort]).await;
            sleep(length).await;
            format!("{sort} for {length:?}")
        }
        Kind::ScriptFlush => {
            let times = rng.u32(3..20);
            for _ in 0..times {
                stage.command("SCRIPT", &["FLUSH"]).await.expect("a flush");
                sleep(Duration::from_millis(rng.u64(0..100))).await;
            }
            format!("{times} times")
        }
        Kind::Full => {
            let length = scale.wait(rng);
            let fault = |begins| stage.trimmed().map(|(_, memory)| memory.fault(begins));
            fault(true);
            stage.command("CONFIG", &["SET", "maxmemory", "1"]).await.expect("a setting");
            sleep(length).await;
            let usual = stage.maxmemory().to_string();
            stage.command("CONFIG", &["SET", "maxmemory", &usual]).await.expect("a setting");
            fault(false);
            format!("for {length:?}")
        }
        Kind::WrongType => wrong_type(stage, scale.pause(rng), rng).await,
        Kind::Acl => acl(stage, &name, scale.wait(rng), rng).await,
        Kind::PgCut | Kind::PgFreeze | Kind::PgDelay | Kind::PgDrop => {
            let (mode, length) = mode(kind, scale, rng);
            let way = [Way::Control, Way::Claims, Way::All][rng.usize(0..3)];
            stage.on_way_to_postgres(member, way, mode);
            sleep(length).await;
            stage.on_way_to_postgres(member, way, Mode::Pass);
            format!("{mode:?} {name} {way:?} for {length:?}")
        }
        Kind::RedisCut | Kind::RedisFreeze | Kind::RedisDelay | Kind::RedisDrop => {
            let (mode, length) = mode(kind, scale, rng);
            stage.to_redis.set(member, mode);
            sleep(length).await;
            stage.to_redis.set(member, Mode::Pass);
            format!("{mode:?} {name} for {length:?}")
        }
        Kind::LateIds => ids::late(stage, scale.pause(rng), rng).await,
        Kind::IdJumps => ids::jump(stage, rng).await,
        Kind::Poison => poison::write(stage, scale.pause(rng), rng).await,
        Kind::Pause => pause::pause(stage, scale.pause(rng), rng).await,
        Kind::ConsumerKill => stage.readers().kill(rng).await,
        Kind::GroupLate => stage.readers().late_goes(stage, scale.wait(rng)).await,
        Kind::Ddl => ddl::change(stage, scale.pause(rng), rng).await,
        Kind::PgCrashAsync => crash_async(stage, scale.pause(rng), rng).await,
        Kind::Restore
        | Kind::RedisRollback
        | Kind::RedisFlush
        | Kind::RedisFailoverBehind
        | Kind::PgPitr => unreachable!("done above, alone"),
    }
}

/// Lets a server go back in time.
async fn take_back(stage: &Stage, kind: Kind, rng: &mut Rng) -> String {
    let _no_other = stage.quiet.write().await;
    let fate = Fate::ALL[rng.usize(0..Fate::ALL.len())];
    match kind {
        Kind::PgPitr => pitr::go_back(stage, fate, rng).await,
        Kind::RedisFlush if stage.layout().is_some() => kept::flush(stage, rng).await,
        _ => restore::restore(stage, kind, fate, rng).await,
    }
}

fn mode(kind: Kind, scale: Scale, rng: &mut Rng) -> (Mode, Duration) {
    let length = scale.wait(rng);
    let mode = match kind {
        Kind::PgFreeze | Kind::RedisFreeze => Mode::Freeze,
        Kind::PgDelay | Kind::RedisDelay => Mode::Delay(Duration::from_millis(rng.u64(5..400))),
        Kind::PgDrop | Kind::RedisDrop => Mode::DropReplies,
        _ if rng.bool() => Mode::Orphan,
        _ => Mode::Cut,
    };
    (mode, length)
}

async fn end(stage: &Stage, kind: Kind, member: usize, down: Duration) -> String {
    let member = &stage.members[member];
    let _other_ends_wait = member.ending.lock().await;
    let status = if kind == Kind::Kill {
        member.program.lock().await.kill();
        None
    } else {
        member.program.lock().await.terminate();
        // Frozen by another fault, it ends when that wakes it, for which it needs the lock.
        let ended = async || member.program.lock().await.exit_status();
        Some(eventually(LIMIT, &format!("{} to end", member.name), ended).await.expect("its end"))
    };
    sleep(down).await;
    // A table that is not there as configured ends a start, as it should.
    let as_configured = stage.ddl.lock().await;
    let mut program = member.program.lock().await;
    // What the one before wrote says nothing of this one.
    let before = program.log().len();
    stage.start_again(member, &mut program);
    drop(program);
    let examined = async || {
        let log = member.program.lock().await.log();
        let this_time = log.get(before..)?;
        ["recovered", "joined the outbox", "standby: "]
            .iter()
            .any(|words| this_time.contains(words))
            .then_some(())
    };
    let _ = eventually(LIMIT, "its look at the table", examined).await;
    drop(as_configured);
    match status {
        Some(status) => format!("{}, which ended with {status}, away for {down:?}", member.name),
        None => format!("{}, away for {down:?}", member.name),
    }
}

/// What was said to be committed may be gone, and its entries may be there.
async fn crash_async(stage: &Stage, down: Duration, rng: &mut Rng) -> String {
    let mut postgres = stage.postgres.lock().await;
    let mut writers = reckless(stage, rng);
    let length = Duration::from_millis(rng.u64(200..1_000));
    sleep(length).await;
    postgres.stop_immediate().await.expect("its end");
    sleep(down).await;
    postgres.start_again().await.expect("a start");
    while writers.join_next().await.is_some() {}
    format!("after {length:?}, down for {down:?}")
}

async fn terminate(stage: &Stage, name: &str, rng: &mut Rng) -> String {
    let (whose, which) = match rng.u32(0..4) {
        0 => ("one session", "order by random() limit 1"),
        1 => (
            "a control session",
            "and application_name = 'outflow control' order by random() limit 1",
        ),
        2 => ("those in a transaction", "and xact_start is not null"),
        _ => ("all sessions", ""),
    };
    let query = format!(
        "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where \
            usename = '{name}' {which}) s"
    );
    let terminated = stage.number(&query).await;
    format!("{whose} of {name}: {terminated}")
}

/// In one step, so that no entry is appended in between to a stream that then is gone.
async fn wrong_type(stage: &Stage, length: Duration, rng: &mut Rng) -> String {
    const AWAY: &str = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], \
        KEYS[2]) end \
                        redis.call('SET', KEYS[1], 'not a stream')";
    const BACK: &str = "redis.call('DEL', KEYS[1]) \
                        if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], \
                        KEYS[1]) end";
    let stream = ["events.order", "events.payment", "events.stock"][rng.usize(0..3)];
    let aside = format!("aside.{stream}");
    stage.command("EVAL", &[AWAY, "2", stream, &aside]).await.expect("a rename");
    sleep(length).await;
    let still = stage.command("TYPE", &[stream]).await;
    stage.command("EVAL", &[BACK, "2", stream, &aside]).await.expect("a rename");
    format!("{stream} for {length:?}, then {still:?}")
}

async fn acl(stage: &Stage, name: &str, length: Duration, rng: &mut Rng) -> String {
    let (what, rules): (&str, &[&str]) = match rng.u32(0..7) {
        0 => (
            "a stream",
            &["resetkeys", "~outflow:*", "~events.order", "~events.stock", "~events.mail"],
        ),
        1 => ("the journal", &["resetkeys", "~events.*"]),
        2 => ("XADD", &["-xadd"]),
        3 => ("HDEL", &["-hdel"]),
        4 => ("HSET", &["-hset"]),
        5 => ("HMGET and HKEYS", &["-hmget", "-hkeys"]),
        _ => ("everything", &["off"]),
    };
    let set = [&["SETUSER", name], rules].concat();
    stage.command("ACL", &set).await.expect("a rule");
    if what == "everything" {
        // The ones that are there would go on.
        let _ = stage.command("CLIENT", &["KILL", "USER", name]).await;
    }
    sleep(length).await;
    stage
        .command("ACL", &["SETUSER", name, "on", ">pw", "~*", "&*", "+@all"])
        .await
        .expect("a rule");
    format!("{what} of {name} for {length:?}")
}

/// After the faults: every server answers and every member runs.
pub(crate) async fn healed(stage: &Stage) -> Result<(), String> {
    for member in &stage.members {
        let mut program = member.program.lock().await;
        let ended =
            eventually(LIMIT, "the member to run", async || program.exit_status().is_none()).await;
        ended.map_err(|_| format!("{} has ended: {}", member.name, program.log_tail()))?;
    }
    Ok(())
}
