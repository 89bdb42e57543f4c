//! Joining and recovery (`src/relay/member.rs`, `src/relay/outbox/kept/recovery.rs`).

use std::sync::Arc;

use outflow::relay::event::Acknowledged;
use outflow::relay::kept::healing::{self, Found, Happened, Start};
use outflow::relay::kept::history::History;
use outflow::relay::kept::pieces::Pieces;
use outflow::relay::options::OnLoss;
use outflow::relay::outbox::slots;

use super::bounds::{Bounds, Fault, KEYS, Mutant};
use super::postgres::SLOT;
use super::state::{
    At, Copied, Drawn, Fenced, Install, Journal, Kept, Member, Phase, Postgres, Raised, Row,
    Script, State,
};

impl State {
    /// Starts, recovers and works, and the others take the new share-out, before anything else
    /// happens.
    pub(crate) fn start_undisturbed(&mut self, m: usize, bounds: &Bounds) {
        let mut done = self.start(m);
        for at in (0..=m).rev() {
            if at < m {
                done = done.and_then(|()| self.notice_change(at));
            }
            done = done.and_then(|()| self.fence(at, bounds));
            if at == m {
                done = done
                    .and_then(|()| self.raise(at, bounds))
                    .and_then(|()| self.install(at, bounds))
                    .and_then(|()| self.finish(at));
            }
        }
        assert!(done.is_some(), "nothing hinders it");
    }

    /// A process starts: a new incarnation.
    pub(crate) fn start(&mut self, m: usize) -> Option<()> {
        if self.members[m].phase != Phase::Down {
            return None;
        }
        self.members[m].phase = Phase::Joining { doubted: None };
        Some(())
    }

    /// Takes a seat unless it has one, and the fence lock; if the generation in force is as it
    /// should be and not in doubt, it is adopted.
    pub(crate) fn fence(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Phase::Joining { doubted } = self.members[m].phase else { return None };
        if self.postgres.recovery.is_some() {
            return None;
        }
        if !self.is_seated(m) {
            self.members[m].number = self.postgres.next_number;
            self.postgres.seats.push((self.postgres.next_number, m));
            self.postgres.next_number += 1;
        }
        let known = self.postgres.generation;
        let owners = self.owners_due();
        let number = self.members[m].number;
        let entered = self.redis.journal.as_ref().and_then(|journal| journal.enter(known, number));
        let is_doubted = doubted.is_some_and(|doubted| doubted >= known);
        let timeline = self.postgres.timeline;
        if let Some(kept) = entered.filter(|_| owners == self.postgres.owners && !is_doubted) {
            self.work(m, known, timeline, kept);
            return Some(());
        }
        let copies = bounds.is(Mutant::EarlyCopy).then(|| self.postgres.copies.clone());
        self.postgres.recovery = u8::try_from(m).ok();
        self.members[m].phase = Phase::Fenced(Fenced { doubted, known, timeline, owners, copies });
        Some(())
    }

    pub(crate) fn raise(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Phase::Fenced(fenced) = self.members[m].phase.clone() else { return None };
        let raised = self.run_raise(fenced.known, self.drawn(m), bounds);
        self.members[m].phase = Phase::Raised(fenced, Arc::new(raised));
        Some(())
    }

    /// Reads the copies, decides from where to go on, and installs the pieces.
    pub(crate) fn install(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Phase::Raised(fenced, _) = self.members[m].phase.clone() else { return None };
        let Some((install, start)) = self.install_of(m, bounds) else {
            self.give_up(m);
            return Some(());
        };
        self.past.false_alarm |= match start.happened {
            Happened::Nothing => false,
            Happened::RedisWentBack | Happened::JournalIsGone => !self.past.redis_back,
            Happened::PostgresWentBack(_) => !self.past.postgres_back,
        };
        if self.run_install(&install, bounds) {
            let (install, history) = (Arc::new(install), Arc::new(start.history));
            self.members[m].phase = Phase::Installed(fenced, install, history);
        } else {
            self.give_up(m);
        }
        Some(())
    }

    /// Copies, generation and share-out are committed.
    pub(crate) fn finish(&mut self, m: usize) -> Option<()> {
        let Phase::Installed(fenced, install, history) = self.members[m].phase.clone() else {
            return None;
        };
        if !self.holds_fence(m) {
            self.give_up(m);
            return Some(());
        }
        self.commit_recovery(&fenced, &install, history);
        let number = self.members[m].number;
        let kept = install.kept.iter().find(|kept| kept.member == number).cloned()?;
        self.work(m, install.generation, fenced.timeline, kept);
        self.members[m].copied = Some(0);
        Some(())
    }

    /// No answer: it was done, will be done, or (a commit) comes to nothing.
    pub(crate) fn lose_reply(&mut self, m: usize, late: bool, bounds: &Bounds) -> Option<()> {
        let script = self.script_of(m, bounds);
        self.spend(Fault::LostReply)?;
        match (script, self.members[m].phase.clone()) {
            (Some(script), _) if late => self.late.push(script),
            (Some(Script::Append(append)), _) => {
                self.redis.append(&append, None, !bounds.is(Mutant::PositionApart), bounds);
            }
            (Some(Script::Raise { known, drawn }), _) => {
                self.run_raise(known, drawn, bounds);
            }
            (Some(Script::Install(install)), _) => {
                self.run_install(&install, bounds);
            }
            (None, Phase::Installed(fenced, install, history)) if self.holds_fence(m) => {
                if !late {
                    self.commit_recovery(&fenced, &install, history);
                }
            }
            (None, _) => return None,
        }
        if self.members[m].phase == Phase::Working {
            self.doubt(m, bounds);
        } else {
            self.give_up(m);
        }
        Some(())
    }

    /// What this member has sent to Redis, or is about to.
    pub(crate) fn script_of(&self, m: usize, bounds: &Bounds) -> Option<Script> {
        match &self.members[m].phase {
            Phase::Down | Phase::Joining { .. } | Phase::Installed(..) => None,
            Phase::Fenced(fenced) => {
                Some(Script::Raise { known: fenced.known, drawn: self.drawn(m) })
            }
            Phase::Raised(..) => {
                self.install_of(m, bounds).map(|(install, _)| Script::Install(install))
            }
            Phase::Working => self.append_of(m).map(Script::Append),
        }
    }

    pub(crate) fn run_late(&mut self, at: usize, bounds: &Bounds) -> Option<()> {
        if at >= self.late.len() {
            return None;
        }
        match self.late.remove(at) {
            Script::Append(append) => {
                self.redis.append(&append, None, true, bounds);
            }
            Script::Raise { known, drawn } => {
                self.run_raise(known, drawn, bounds);
            }
            Script::Install(install) => {
                self.run_install(&install, bounds);
            }
        }
        Some(())
    }

    /// What to install, and what has happened; `None` if this member's transaction is gone.
    pub(crate) fn install_of(&self, m: usize, bounds: &Bounds) -> Option<(Install, Start)> {
        let Phase::Raised(fenced, raised) = &self.members[m].phase else { return None };
        if !self.holds_fence(m) {
            return None;
        }
        let copies = fenced.copies.as_ref().unwrap_or(&self.postgres.copies);
        let start = self.start_of(raised, copies, fenced.timeline, bounds);
        let shares = shares(fenced.owners);
        let members = Pieces::share_out(&start.pieces, &shares, &start.otherwise);
        assert!(Pieces::cover_once(members.values()), "as the recovery asserts");
        let generation = raised.generation;
        let nonce = (generation, self.past.returns);
        let kept = members.into_iter().map(|(member, pieces)| Kept {
            member: u8::try_from(member).expect("a small number"),
            nonce,
            pieces: Arc::new(pieces),
        });
        let is_gone = start.happened == Happened::JournalIsGone;
        let passed = |row: &&Row| {
            let copies = copies.iter().map(|copy| &*copy.pieces);
            is_gone && Postgres::have_passed(copies, **row, bounds)
        };
        let forgotten = self.postgres.committed().filter(passed);
        let forgets = forgotten.fold(0, |rows, row| rows | 1 << row.number);
        let (raised, server) = (raised.drawn, fenced.timeline);
        let install = Install { generation, raised, server, forgets, kept: kept.collect() };
        Some((install, start))
    }

    /// `healing::start`, or what a mutant makes of it.
    fn start_of(&self, raised: &Raised, copies: &[Copied], here: u8, bounds: &Bounds) -> Start {
        let journal: Vec<Pieces> = raised.pieces.iter().map(|all| Pieces::clone(all)).collect();
        let copies: Vec<healing::Copied> = copies
            .iter()
            .map(|copy| healing::Copied {
                at: acknowledged(copy.at),
                pieces: Pieces::clone(&copy.pieces),
            })
            .collect();
        let confirmed = raised.copied.iter().filter(|_| !bounds.is(Mutant::NoConfirmedCopy));
        let confirmed: Vec<Acknowledged> = confirmed.copied().map(acknowledged).collect();
        let server = |timeline: u8| healing::server("a", &timeline.to_string());
        let (was, here) = (raised.server.map(server), server(here));
        let found = Found {
            journal: &journal,
            copies: &copies,
            confirmed: &confirmed,
            history: self.postgres.history.as_deref().filter(|_| !bounds.is(Mutant::NoHistory)),
            server: was.as_deref(),
            here: &here,
            now: &self.postgres.snapshot(bounds),
        };
        let mut start = healing::start(&found, OnLoss::Resume).expect("nothing to be decided");
        let went_back = matches!(start.happened, Happened::PostgresWentBack(_));
        let is_both = went_back && !journal.is_empty() && !copies.is_empty();
        let copies: Vec<Pieces> = copies.into_iter().map(|copy| copy.pieces).collect();
        if bounds.is(Mutant::NewerOfBoth) && is_both
            || bounds.is(Mutant::CopyOverJournal) && !copies.is_empty()
        {
            start.pieces = copies;
        } else if bounds.is(Mutant::OneOfBoth) && is_both {
            let at = |all: &[Pieces]| all[0].all()[0].position.clone();
            let is_older = at(&copies).includes(&at(&journal));
            start.pieces = if is_older { journal } else { copies };
        }
        start
    }

    fn drawn(&self, m: usize) -> Drawn {
        (m, self.faults_left)
    }

    fn run_raise(&mut self, known: u8, drawn: Drawn, bounds: &Bounds) -> Raised {
        let raised = self.redis.raise(known, drawn, bounds);
        self.prune_late(bounds);
        raised
    }

    fn run_install(&mut self, install: &Install, bounds: &Bounds) -> bool {
        let installed = self.redis.install(install, bounds);
        if installed {
            self.past.forgotten |= install.forgets;
        }
        installed
    }

    fn commit_recovery(&mut self, fenced: &Fenced, install: &Install, history: Arc<History>) {
        let copied = |kept: &Kept| Copied {
            at: At { generation: install.generation, member: kept.member, batch: 0 },
            pieces: Arc::clone(&kept.pieces),
        };
        let postgres = &mut self.postgres;
        postgres.history = Some(history);
        postgres.copies = install.kept.iter().map(copied).collect();
        (postgres.generation, postgres.owners) = (install.generation, fenced.owners);
        postgres.recovery = None;
        postgres.flush();
    }

    fn work(&mut self, m: usize, generation: u8, timeline: u8, kept: Kept) {
        let member = &mut self.members[m];
        let goes_on = member.generation == generation && member.nonce == kept.nonce;
        let Member { number, parked, .. } = *member;
        let (next_batch, acknowledged, copied) = if goes_on {
            (member.next_batch, member.acknowledged, member.copied)
        } else {
            (1, 0, None)
        };
        *member = Member {
            phase: Phase::Working,
            number,
            generation,
            nonce: kept.nonce,
            next_batch,
            acknowledged,
            copied,
            timeline,
            pieces: Arc::clone(&kept.pieces),
            confirmed: kept.pieces,
            batches: Vec::new(),
            parked,
        };
    }

    /// Who should own which half of the slots.
    pub(crate) fn owners_due(&self) -> [u8; KEYS] {
        let live: Vec<i32> =
            self.postgres.seats.iter().map(|(number, _)| i32::from(*number)).collect();
        let previous = shares(self.postgres.owners);
        let due = slots::share_out(&previous, &live);
        let owner = |slot: u32| due.get(usize::try_from(slot).ok()?).copied();
        SLOT.map(|slot| owner(slot).and_then(|owner| u8::try_from(owner).ok()).unwrap_or(0))
    }

    pub(crate) fn holds_fence(&self, m: usize) -> bool {
        self.postgres.recovery.is_some_and(|holder| usize::from(holder) == m)
    }

    pub(crate) fn give_up(&mut self, m: usize) {
        if self.holds_fence(m) {
            self.postgres.recovery = None;
        }
        let phase = &mut self.members[m].phase;
        if let Phase::Fenced(of) | Phase::Raised(of, _) | Phase::Installed(of, ..) = phase {
            *phase = Phase::Joining { doubted: of.doubted };
        }
    }
}

impl Journal {
    /// `Journal::enter`.
    pub(crate) fn enter(&self, generation: u8, member: u8) -> Option<Kept> {
        let is_installed = self.generation == generation && self.open;
        self.kept.iter().find(|kept| is_installed && kept.member == member).cloned()
    }
}

fn shares(owners: [u8; KEYS]) -> Vec<i32> {
    if owners == [0; KEYS] {
        return Vec::new();
    }
    owners.iter().flat_map(|owner| [i32::from(*owner); slots::SLOTS / KEYS]).collect()
}

fn acknowledged(At { generation, member, batch }: At) -> Acknowledged {
    Acknowledged { generation: generation.into(), member: member.into(), batch: batch.into() }
}
