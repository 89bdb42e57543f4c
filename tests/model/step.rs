//! The steps of the model, and which of them can be taken when.

use std::collections::HashSet;

use stateright::{Model, Property};

use crate::batch::Fate;
use crate::bounds::{Bounds, Fault, KEYS};
use crate::properties;
use crate::state::{Phase, State};
use crate::world::World;

/// A step. Fields: a key, a member, or a place among the open claims or the late scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    // Writers.
    Write(u8),
    TakeId(u8),
    TakeXid(u8),
    CommitWriter(u8),
    RollBackWriter(u8),
    // A member's batches.
    Claim(usize),
    Ask(usize),
    Check(usize),
    Look(usize),
    Take(usize),
    Refuse(usize),
    Send(usize),
    Run(usize, Fate),
    Receive(usize),
    Commit(usize),
    RunCommit(usize),
    Committed(usize),
    Unpark(usize),
    // Joining and recovery.
    Start(usize),
    Join(usize),
    Adopt(usize),
    Fence(usize),
    Raise(usize),
    Finish(usize),
    Forget(usize),
    NoticeChange(usize),
    NoticeLostSeat(usize),
    Wake(usize),
    // What the servers do by themselves.
    RunLate(usize),
    Expire(usize),
    ExpireRecovery,
    ExpireSeat(u8),
    // Faults.
    Crash(usize),
    Freeze(usize),
    LoseReply(usize),
    LoseRaise { member: usize, late: bool },
    LoseForget(usize),
    LoseCommit(usize),
    LoseFinish { member: usize, committed: bool },
    Kill(usize),
    KillRecovery,
    KillSeat(usize),
    Cut(usize),
    Leave(usize),
    FailOver,
}

impl Step {
    /// The fault that it is.
    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Self::Crash(_) => Some(Fault::Crash),
            Self::Freeze(_) => Some(Fault::Freeze),
            Self::LoseReply(_) | Self::LoseRaise { .. } | Self::LoseForget(_) => {
                Some(Fault::LostReply)
            }
            Self::LoseCommit(_) | Self::LoseFinish { .. } => Some(Fault::LostCommit),
            Self::Kill(_) | Self::KillRecovery | Self::KillSeat(_) => Some(Fault::Kill),
            Self::Cut(_) => Some(Fault::Cut),
            Self::Run(_, Fate::Refused(_)) => Some(Fault::Refusal),
            Self::Run(_, Fate::Outage) => Some(Fault::Outage),
            Self::Leave(_) => Some(Fault::Leave),
            Self::FailOver => Some(Fault::FailOver),
            _ => None,
        }
    }

    /// Its kind, without its fields.
    pub(crate) fn kind(self) -> String {
        let text = format!("{self:?}");
        match self {
            Self::Run(_, fate) => {
                format!("Run {}", format!("{fate:?}").split('(').next().unwrap_or_default())
            }
            Self::LoseRaise { late, .. } => format!("LoseRaise late={late}"),
            Self::LoseFinish { committed, .. } => format!("LoseFinish committed={committed}"),
            _ => text.split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }

    /// What it makes of a state; `None` where it cannot be taken.
    fn taken(self, mut state: State, bounds: &Bounds) -> Option<State> {
        let to = &mut state;
        match self {
            Self::Write(key) => to.write(key, bounds),
            Self::TakeId(key) => to.take_id(key, bounds),
            Self::TakeXid(key) => to.take_xid(key, bounds),
            Self::CommitWriter(key) => to.commit_writer(key),
            Self::RollBackWriter(key) => to.roll_back_writer(key),
            Self::Claim(m) => to.claim(m, bounds),
            Self::Ask(m) => to.ask(m, bounds),
            Self::Check(m) => to.check(m, bounds),
            Self::Look(m) => to.look(m, bounds),
            Self::Take(m) => to.take(m, bounds),
            Self::Refuse(m) => to.refuse(m, bounds),
            Self::Send(m) => to.send(m),
            Self::Run(m, fate) => to.run(m, fate, bounds),
            Self::Receive(m) => to.receive(m, bounds),
            Self::Commit(m) => to.commit(m, bounds),
            Self::RunCommit(place) => to.run_commit(place),
            Self::Committed(m) => to.committed(m, bounds),
            Self::Unpark(m) => to.unpark(m),
            Self::Start(m) => to.start(m),
            Self::Join(m) => to.join(m),
            Self::Adopt(m) => to.adopt(m, bounds),
            Self::Fence(m) => to.fence(m, bounds),
            Self::Raise(m) => to.raise(m, bounds),
            Self::Finish(m) => to.finish(m, bounds),
            Self::Forget(m) => to.forget(m),
            Self::NoticeChange(m) => to.notice_change(m),
            Self::NoticeLostSeat(m) => to.notice_lost_seat(m, bounds),
            Self::Wake(m) => to.wake(m),
            Self::RunLate(at) => to.run_late(at, bounds),
            Self::Expire(place) => to.expire(place),
            Self::ExpireRecovery => to.expire_recovery(),
            Self::ExpireSeat(number) => to.expire_seat(number),
            Self::Crash(m) => to.crash(m),
            Self::Freeze(m) => to.freeze(m),
            Self::LoseReply(m) => to.lose_reply(m, bounds),
            Self::LoseRaise { member, late } => to.lose_raise(member, late, bounds),
            Self::LoseForget(m) => to.lose_forget(m),
            Self::LoseCommit(m) => to.lose_commit(m, bounds),
            Self::LoseFinish { member, committed } => to.lose_finish(member, committed, bounds),
            Self::Kill(place) => to.kill(place),
            Self::KillRecovery => to.kill_recovery(),
            Self::KillSeat(m) => to.kill_seat(m),
            Self::Cut(place) => to.cut(place),
            Self::Leave(m) => to.leave(m),
            Self::FailOver => to.fail_over(bounds),
        }?;
        Some(state)
    }
}

/// The steps that a member that is awake can take, by its phase.
fn member_steps(state: &State, m: usize, bounds: &Bounds, steps: &mut Vec<Step>) {
    match state.members[m].phase {
        Phase::Down => steps.push(Step::Start(m)),
        Phase::Left => {}
        Phase::Joining { .. } => steps.extend([Step::Join(m), Step::Adopt(m), Step::Fence(m)]),
        Phase::Fenced { .. } => {
            steps.push(Step::Raise(m));
            if state.may(Fault::LostReply) {
                steps.extend([false, true].map(|late| Step::LoseRaise { member: m, late }));
            }
        }
        Phase::Raised { .. } => {
            steps.push(Step::Finish(m));
            if state.may(Fault::LostCommit) {
                steps.extend(
                    [false, true].map(|committed| Step::LoseFinish { member: m, committed }),
                );
            }
        }
        Phase::Forgetting => {
            steps.push(Step::Forget(m));
            if state.may(Fault::LostReply) {
                steps.push(Step::LoseForget(m));
            }
        }
        Phase::Working => {
            if state.may_claim(m, bounds) {
                steps.extend([Step::Claim(m), Step::Ask(m), Step::NoticeChange(m)]);
            }
            steps.extend([Step::NoticeLostSeat(m), Step::Unpark(m)]);
            if !state.members[m].batches.is_empty() {
                steps.extend([Step::Check(m), Step::Look(m), Step::Take(m), Step::Refuse(m)]);
                steps.extend([
                    Step::Send(m),
                    Step::Receive(m),
                    Step::Commit(m),
                    Step::Committed(m),
                ]);
                if state.may(Fault::LostReply) {
                    steps.push(Step::LoseReply(m));
                }
                if state.may(Fault::LostCommit) {
                    steps.push(Step::LoseCommit(m));
                }
            }
        }
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
        for key in 0..u8::try_from(KEYS).unwrap_or_default() {
            let writer = state.writers[usize::from(key)];
            if writer.committed < self.events[usize::from(key)] {
                steps.extend([
                    Step::Write(key),
                    Step::TakeId(key),
                    Step::TakeXid(key),
                    Step::CommitWriter(key),
                ]);
                if state.rollbacks > 0 {
                    steps.push(Step::RollBackWriter(key));
                }
            }
        }
        for m in 0..state.members.len() {
            if state.script_of(m).is_some() {
                steps.push(Step::Run(m, Fate::Runs));
                if state.may(Fault::Refusal) {
                    steps.extend([0, 1].map(|stream| Step::Run(m, Fate::Refused(stream))));
                }
                if state.may(Fault::Outage) {
                    steps.push(Step::Run(m, Fate::Outage));
                }
            }
            if state.members[m].frozen {
                steps.push(Step::Wake(m));
            } else {
                member_steps(state, m, self, steps);
            }
            if state.may(Fault::Crash) {
                steps.push(Step::Crash(m));
            }
            if state.may(Fault::Freeze) {
                steps.push(Step::Freeze(m));
            }
            if state.may(Fault::Kill) {
                steps.push(Step::KillSeat(m));
            }
            if state.may(Fault::Leave) {
                steps.push(Step::Leave(m));
            }
        }
        for place in 0..state.postgres.claims.len() {
            steps.extend([Step::RunCommit(place), Step::Expire(place)]);
            if state.may(Fault::Kill) {
                steps.push(Step::Kill(place));
            }
            if state.may(Fault::Cut) {
                steps.push(Step::Cut(place));
            }
        }
        if state.may(Fault::FailOver) {
            steps.push(Step::FailOver);
        }
        steps.extend((0..state.late.len()).map(Step::RunLate));
        steps.extend(state.postgres.seats.iter().map(|number| Step::ExpireSeat(*number)));
        if state.postgres.recovery.is_some() {
            steps.push(Step::ExpireRecovery);
            if state.may(Fault::Kill) {
                steps.push(Step::KillRecovery);
            }
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
        state.is_delivered(self)
    }

    fn is_fault(step: Step) -> bool {
        step.fault().is_some()
    }

    fn kind(step: Step) -> String {
        step.kind()
    }

    fn missing(&self, taken: impl Iterator<Item = Step>) -> Vec<String> {
        let happens: HashSet<Fault> = taken.filter_map(Step::fault).collect();
        let may = |fault: &Fault| {
            self.faults[*fault as usize] > 0 && (*fault != Fault::Leave || self.members > 1)
        };
        let missing = Fault::ALL.into_iter().filter(may).filter(|fault| !happens.contains(fault));
        missing.map(|fault| format!("{fault:?}")).collect()
    }

    fn told(state: &State) -> String {
        format!("streams {:?}, rows {:?}", state.redis.streams, state.postgres.table)
    }
}
