//! The steps, and which of them can be taken when.

use std::collections::HashSet;

use outflow::relay::kept::healing::Happened;
use stateright::{Model, Property};

use super::bounds::{Bounds, Fault, KEYS};
use super::properties;
use super::state::{Append, Phase, Reply, Script, State};
use crate::batch::Fate;
use crate::world::World;

/// A step. Fields: a key, a member (and a stream), or a place among the late scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    // Writers.
    Write(u8),
    Insert(u8),
    Commit(u8),
    CommitLazily(u8),
    RollBack(u8),
    // A member.
    Start(usize),
    Fence(usize),
    Raise(usize),
    Install(usize),
    Finish(usize),
    Read(usize),
    ReadOf(usize, u8),
    PassBy(usize),
    Append(usize, Fate),
    Copy(usize),
    Probe(usize),
    Unpark(usize),
    NoticeChange(usize),
    NoticeLost(usize),
    RunLate(usize),
    // Faults of members.
    Crash(usize),
    Freeze(usize),
    LoseReply { member: usize, late: bool },
    // Servers. What they come back to is fixed before.
    SaveRedis,
    SavePostgres,
    RestoreRedis,
    RestorePostgres,
    EmptyRedis,
    CrashPostgres,
}

impl Step {
    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Self::Crash(_) => Some(Fault::Crash),
            Self::Freeze(_) => Some(Fault::Freeze),
            Self::LoseReply { .. } => Some(Fault::LostReply),
            Self::Append(_, Fate::Refused(_)) => Some(Fault::Refusal),
            Self::Append(_, Fate::Outage) => Some(Fault::Outage),
            Self::RestoreRedis => Some(Fault::RedisBack),
            Self::EmptyRedis => Some(Fault::RedisEmpty),
            Self::CrashPostgres => Some(Fault::PostgresCrash),
            Self::RestorePostgres => Some(Fault::PostgresBack),
            _ => None,
        }
    }

    fn taken(self, mut state: State, bounds: &Bounds) -> Option<State> {
        let to = &mut state;
        match self {
            Self::Write(key) => to.write(key, bounds),
            Self::Insert(key) => to.insert(key),
            Self::Commit(key) => to.commit(key, true, bounds),
            Self::CommitLazily(key) => to.commit(key, false, bounds),
            Self::RollBack(key) => to.roll_back(key),
            Self::Start(m) => to.start(m),
            Self::Fence(m) => to.fence(m, bounds),
            Self::Raise(m) => to.raise(m, bounds),
            Self::Install(m) => to.install(m, bounds),
            Self::Finish(m) => to.finish(m),
            Self::Read(m) => to.read(m, bounds),
            Self::ReadOf(m, stream) => to.read_of(m, stream, bounds),
            Self::PassBy(m) => to.step_over(m),
            Self::Append(m, fate) => to.append(m, fate, bounds),
            Self::Copy(m) => to.copy(m, bounds),
            Self::Probe(m) => to.probe(m, bounds),
            Self::Unpark(m) => to.unpark(m),
            Self::NoticeChange(m) => to.notice_change(m),
            Self::NoticeLost(m) => to.notice_lost(m, bounds),
            Self::RunLate(at) => to.run_late(at, bounds),
            Self::Crash(m) => to.crash(m, bounds),
            Self::Freeze(m) => to.freeze(m),
            Self::LoseReply { member, late } => to.lose_reply(member, late, bounds),
            Self::SaveRedis => to.save_redis(),
            Self::SavePostgres => to.save_postgres(),
            Self::RestoreRedis => to.restore_redis(),
            Self::RestorePostgres => to.restore_postgres(bounds),
            Self::EmptyRedis => to.empty_redis(),
            Self::CrashPostgres => to.crash_postgres(),
        }?;
        Some(state)
    }
}

fn writer_steps(state: &State, bounds: &Bounds, steps: &mut Vec<Step>) {
    for (key, left) in (0..).zip(state.left) {
        if !bounds.overlaps() {
            steps.extend((left > 0).then_some(Step::Write(key)));
            continue;
        }
        let all = [Step::Insert(key), Step::Commit(key), Step::CommitLazily(key)];
        steps.extend(all);
        steps.extend((state.rollbacks > 0).then_some(Step::RollBack(key)));
    }
}

fn member_steps(state: &State, m: usize, bounds: &Bounds, steps: &mut Vec<Step>) {
    match &state.members[m].phase {
        Phase::Down => steps.push(Step::Start(m)),
        Phase::Joining { .. } => steps.push(Step::Fence(m)),
        Phase::Fenced(_) => steps.push(Step::Raise(m)),
        Phase::Raised(..) => steps.push(Step::Install(m)),
        Phase::Installed(..) => steps.push(Step::Finish(m)),
        Phase::Working => {
            steps.extend([Step::Read(m), Step::Append(m, Fate::Runs), Step::Unpark(m)]);
            steps.extend([0, 1].map(|stream| Step::ReadOf(m, stream)));
            steps.extend(bounds.steps_over.then_some(Step::PassBy(m)));
            steps.extend(bounds.copies.then_some(Step::Copy(m)));
            steps.extend([Step::Probe(m), Step::NoticeChange(m), Step::NoticeLost(m)]);
            if state.may(Fault::Refusal) {
                steps.extend([0, 1].map(|stream| Step::Append(m, Fate::Refused(stream))));
            }
            if state.may(Fault::Outage) {
                steps.push(Step::Append(m, Fate::Outage));
            }
        }
    }
    if state.may(Fault::Crash) {
        steps.push(Step::Crash(m));
    }
    if state.may(Fault::Freeze) {
        steps.push(Step::Freeze(m));
    }
    if state.may(Fault::LostReply) {
        steps.extend([false, true].map(|late| Step::LoseReply { member: m, late }));
    }
}

impl Model for Bounds {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        // Nothing is asked of what comes after the failure that a mutant was to show.
        if self.mutant.is_some() && !properties::hold(self, state) {
            return;
        }
        writer_steps(state, self, steps);
        for m in 0..state.members.len() {
            member_steps(state, m, self, steps);
        }
        steps.extend((0..state.late.len()).map(Step::RunLate));
        let of_servers = [
            (Fault::RedisBack, &[Step::SaveRedis, Step::RestoreRedis][..]),
            (Fault::PostgresBack, &[Step::SavePostgres, Step::RestorePostgres]),
            (Fault::RedisEmpty, &[Step::EmptyRedis]),
            (Fault::PostgresCrash, &[Step::CrashPostgres]),
        ];
        for (_, of) in of_servers.iter().filter(|(fault, _)| state.may(*fault)) {
            steps.extend(*of);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        step.taken(state.clone(), self)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl World for Bounds {
    const DELIVERED: &'static str = properties::DELIVERED;

    fn is_delivered(&self, state: &State) -> bool {
        state.left == [0; KEYS] && properties::is_delivered(state, self)
    }

    fn is_fault(step: Step) -> bool {
        step.fault().is_some()
    }

    fn kind(step: Step) -> String {
        let text = format!("{step:?}");
        match step {
            Step::Append(_, Fate::Runs) => "Append".to_owned(),
            Step::Append(..) => {
                text.split([' ', '(', ')']).take(3).collect::<Vec<_>>().join(" ").replace(',', "")
            }
            Step::LoseReply { late, .. } => format!("LoseReply late={late}"),
            _ => text.split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }

    fn missing(&self, taken: impl Iterator<Item = Step>) -> Vec<String> {
        let happens: HashSet<Fault> = taken.filter_map(Step::fault).collect();
        let may = |fault: &Fault| self.faults[*fault as usize] > 0;
        let missing = Fault::ALL.into_iter().filter(may).filter(|fault| !happens.contains(fault));
        missing.map(|fault| format!("{fault:?}")).collect()
    }

    fn sight(&self, state: &State, step: Step) -> Option<&'static str> {
        match step {
            Step::Append(m, Fate::Runs) => {
                state.append_of(m).map(|append| reply(&append, state, self))
            }
            Step::RunLate(at) => match state.late.get(at)? {
                Script::Append(append) => Some(
                    match state.redis.takes((append.at, append.previous, append.nonce), self) {
                        Ok(()) => "a late append is taken",
                        Err(_) => "a late append is refused",
                    },
                ),
                Script::Install(install) => {
                    let is_taken = state.redis.clone().install(install, self);
                    Some(if is_taken {
                        "a late install is taken"
                    } else {
                        "a late install is refused"
                    })
                }
                Script::Raise { .. } => Some("a late raise"),
            },
            Step::Install(m) => {
                let start = state.install_of(m, self).map(|(_, start)| start.happened);
                Some(match start {
                    None => "a recovery has lost its fence",
                    Some(Happened::Nothing) => "nothing has happened",
                    Some(Happened::RedisWentBack) => "Redis went back",
                    Some(Happened::JournalIsGone) => "the journal is gone",
                    Some(Happened::PostgresWentBack(_)) => "Postgres went back",
                })
            }
            Step::Read(m) if state.members[m].timeline != state.postgres.timeline => {
                Some("a read finds another timeline")
            }
            Step::Read(_) if !state.postgres.is_durable() => Some("the log was not flushed"),
            Step::Fence(m) => {
                let mut after = state.clone();
                after.fence(m, self)?;
                let works = after.members[m].phase == Phase::Working;
                Some(if works { "a generation is adopted" } else { "a generation is raised" })
            }
            _ => None,
        }
    }

    fn told(state: &State) -> String {
        let State { redis, postgres, .. } = state;
        format!(
            "streams {:?}, journal {:?}, rows {:?}",
            redis.streams, redis.journal, postgres.rows
        )
    }
}

fn reply(append: &Append, state: &State, bounds: &Bounds) -> &'static str {
    let before = &append.passage.before;
    match state.redis.takes((append.at, append.previous, append.nonce), bounds) {
        Err(Reply::Fenced) => "an append is fenced",
        Err(_) => "an append finds that the journal is another",
        Ok(()) if append.passage.rows.is_empty() => "a step over nothing",
        Ok(()) if before.stream.is_some() => "an append of a stream that was parked",
        Ok(()) if before.position.target.is_some() => "an append of a target",
        Ok(()) => "an append",
    }
}
