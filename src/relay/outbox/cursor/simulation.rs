//! The cursor against a simulated Postgres: ids long before numbers and long after, late commits,
//! rollbacks, open claims, two members, ids far ahead, sequences that jump and go back, triggers
//! that are switched off and on, streams that claims leave out for a while. There is no clock.

mod streams;
mod writers;

use std::collections::{BTreeMap, BTreeSet};

use super::{BEGINNING, Cursor, Look, Proof, Snapshot};

const KEYS: u64 = 4;
const STEPS: usize = 1_500;
const SEEDS: u64 = 50;

/// xorshift: the same run for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn signed_below(&mut self, limit: u64) -> i64 {
        self.below(limit).cast_signed()
    }

    fn one_in(&mut self, limit: u64) -> bool {
        self.below(limit) == 0
    }
}

/// What is done as it must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// `id > last` alone.
    NoWatchList,
    /// A proof is believed of a table whose ids are drawn before the numbers.
    Credulous,
    /// What was drawn is asked when the claim has its number.
    AskedLate,
    /// The position follows ids far ahead.
    Unbounded,
    /// Nobody notices that the sequence went back.
    FallIgnored,
    /// A trigger that was switched off and on again is taken for one that was always on.
    TokenIgnored,
    /// The claim itself does not compare the token: only the member does, with the next.
    ComparedLate,
    /// A stream is let go of, and the cursor stays where it is.
    NotRewound,
    /// So does the one of a claim that left out a stream which was let go of meanwhile.
    OutdatedList,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Setting {
    members: usize,
    /// Whether the table has a proof (unless its trigger is off).
    provable: bool,
    /// Whether claims leave out streams for a while. When these are let go of, claims start at the
    /// beginning, which hides other mistakes.
    leaves_out: bool,
    mutant: Option<Mutant>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its id is drawn, by a statement before; nothing is written.
    Allocated,
    /// Its insert has begun: it holds the lock on the table.
    Open,
    Committed,
    RolledBack,
}

/// A writer's transaction: one row of one key, whose lock it holds until it ends.
struct Writer {
    key: u64,
    count: u64,
    id: Option<i64>,
    xid: Option<u64>,
    state: State,
    taken: bool,
}

impl Writer {
    fn waits(&self) -> bool {
        self.state == State::Committed && !self.taken
    }
}

/// A member's claim that is not settled.
struct Claim {
    member: usize,
    xid: u64,
}

struct World {
    random: Random,
    setting: Setting,
    sequence: i64,
    /// Changes whenever the trigger is switched.
    token: u64,
    trigger: bool,
    next_xid: u64,
    completed: u64,
    writers: Vec<Writer>,
    claims: Vec<Claim>,
    cursors: Vec<Cursor>,
    /// The streams that the claims of each member leave out: they refuse, or are paused.
    left_out: Vec<BTreeSet<u64>>,
    delivered: BTreeMap<u64, Vec<u64>>,
    /// Where the sequence was when it went back, and the members that have not claimed since: not
    /// before they have may it come there again.
    fell: (i64, Vec<usize>),
    /// Nobody writes any more.
    closed: bool,
}

impl World {
    fn new(seed: u64, setting: Setting) -> Self {
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            setting,
            sequence: 0,
            token: 0,
            trigger: true,
            next_xid: 100,
            completed: 99,
            writers: Vec::new(),
            claims: Vec::new(),
            cursors: (0..setting.members).map(|_| Cursor::default()).collect(),
            left_out: vec![BTreeSet::new(); setting.members],
            delivered: BTreeMap::new(),
            fell: (0, Vec::new()),
            closed: false,
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.setting.mutant == Some(mutant)
    }

    fn step(&mut self) {
        match self.random.below(if self.setting.leaves_out { 62 } else { 60 }) {
            0..=49 => self.write(),
            50..=55 => self.claim(),
            56 | 57 => self.settle_a_claim(),
            58 => self.switch_the_trigger(),
            60 => self.leave_out(),
            61 => self.let_go(),
            _ if self.random.one_in(6) => self.set_back(),
            _ => self.insert_far_ahead(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_xid += 1;
        self.next_xid - 1
    }

    fn draw(&mut self) -> i64 {
        // Rolled back inserts, and crashes that lose a range.
        let jumps = self.random.one_in(10) && self.fell.1.is_empty();
        self.sequence += if jumps { self.random.signed_below(40) } else { 1 };
        self.sequence
    }

    /// Whether inserts take their number first.
    fn is_safe(&self) -> bool {
        self.setting.provable && self.trigger
    }

    fn snapshot(&self) -> Snapshot {
        let xmax = self.completed + 1;
        let writers = self
            .writers
            .iter()
            .filter(|writer| writer.state == State::Open)
            .filter_map(|writer| writer.xid);
        let open = writers
            .chain(self.claims.iter().map(|claim| claim.xid))
            .filter(|xid| *xid < xmax)
            .collect();
        Snapshot { xmax, open }
    }

    fn proof(&self) -> Option<Proof> {
        let believed = self.is_safe() || self.is(Mutant::Credulous);
        let token = if self.is(Mutant::TokenIgnored) { 0 } else { self.token };
        let drawn = if self.is(Mutant::Unbounded) { i64::MAX } else { self.sequence };
        believed.then(|| Proof { token: token.to_string(), drawn })
    }

    /// What the claim's statement computes.
    fn bound(&self, member: usize) -> i64 {
        let (cursor, snapshot) = (&self.cursors[member], self.snapshot());
        let ended =
            cursor.watched().filter(|(xid, _)| snapshot.has_ended(*xid)).map(|(_, floor)| floor);
        let unseen =
            cursor.unseen().filter(|(number, _)| snapshot.xmax > *number).map(|(_, floor)| floor);
        let listed = ended.chain(unseen).min().filter(|_| !self.is(Mutant::NoWatchList));
        let now = self.proof();
        let is_kept = |known: &Proof| {
            let fell = |now: &Proof| now.drawn < known.drawn && !self.is(Mutant::FallIgnored);
            let changed = |now: &Proof| now.token != known.token;
            self.is(Mutant::ComparedLate)
                || now.as_ref().is_some_and(|now| !changed(now) && !fell(now))
        };
        let kept = cursor.proof().is_none_or(is_kept);
        if kept { cursor.position().min(listed.unwrap_or(i64::MAX)) } else { BEGINNING }
    }

    /// Others go on between its statements.
    fn stir(&mut self) {
        for _ in 0..self.random.below(4) {
            self.write();
        }
        if self.setting.leaves_out && self.random.one_in(8) {
            self.let_go();
        }
        if self.random.one_in(4) {
            self.switch_the_trigger();
        }
    }

    fn claim(&mut self) {
        let member = self.some_member();
        let limit = usize::try_from(1 + self.random.below(5)).unwrap_or(1);
        let left_out = self.left_out[member].clone();
        let (snapshot, mut proof) = (self.snapshot(), self.proof());
        self.stir();
        let bound = self.bound(member);
        let members = self.cursors.len() as u64;
        let mut rows: Vec<usize> = (0..self.writers.len())
            .filter(|index| {
                let writer = &self.writers[*index];
                let ours = writer.key % members == member as u64;
                let is_left_out = left_out.contains(&writer.stream());
                ours && !is_left_out && writer.waits() && writer.id > Some(bound)
            })
            .collect();
        rows.sort_by_key(|index| self.writers[*index].id);
        rows.truncate(limit);
        for index in &rows {
            self.writers[*index].taken = true;
        }
        if !rows.is_empty() {
            // The delete holds the lock: nobody alters the table now.
            for _ in 0..self.random.below(3) {
                self.write();
            }
        }
        let own = (!rows.is_empty()).then(|| self.number());
        if self.is(Mutant::AskedLate) {
            for _ in 0..self.random.below(4) {
                self.write();
            }
            proof = proof.and(self.proof());
        }
        if self.is(Mutant::FallIgnored)
            && let (Some(proof), Some(known)) = (&mut proof, self.cursors[member].proof())
        {
            proof.drawn = proof.drawn.max(known.drawn);
        }
        self.fell.1.retain(|waiting| *waiting != member);
        let last = rows.last().and_then(|index| self.writers[*index].id);
        self.cursors[member].looked(&Look {
            snapshot,
            proof,
            own,
            last,
            full: rows.len() == limit,
        });
        self.heed_what_was_let_go(member, &left_out);
        let Some(xid) = own else { return };
        if self.random.one_in(12) {
            // Rolled back at once: its rows are looked at again.
            let lowest =
                rows.iter().filter_map(|index| self.writers[*index].id).min().unwrap_or(BEGINNING);
            for index in &rows {
                self.writers[*index].taken = false;
            }
            self.cursors[member].rewind_below(lowest);
            self.completed = self.completed.max(xid);
            return;
        }
        for index in &rows {
            let writer = &self.writers[*index];
            self.delivered.entry(writer.key).or_default().push(writer.count);
        }
        self.claims.push(Claim { member, xid });
    }

    /// The first claim of a member ends before its second.
    fn settle_a_claim(&mut self) {
        let member = self.some_member();
        let Some(position) = self.claims.iter().position(|claim| claim.member == member) else {
            return;
        };
        let claim = self.claims.remove(position);
        self.completed = self.completed.max(claim.xid);
    }

    /// Everything ends; then claims are made until they are empty.
    fn deliver_all(&mut self) {
        let allocated = |writer: &&mut Writer| writer.state == State::Allocated;
        self.writers
            .iter_mut()
            .filter(allocated)
            .for_each(|writer| writer.state = State::RolledBack);
        self.end_all();
        self.closed = true;
        for member in 0..self.cursors.len() {
            self.let_go_of_all(member);
        }
        for _ in 0..STEPS {
            self.claim();
            self.settle_a_claim();
            if self.claims.is_empty() && !self.writers.iter().any(Writer::waits) {
                break;
            }
        }
        self.closed = false;
    }

    /// Events that came out of order, and events that were left behind.
    fn verdict(&self) -> (usize, usize) {
        let disordered = self
            .delivered
            .values()
            .map(|counts| counts.windows(2).filter(|pair| pair[1] != pair[0] + 1).count());
        let left = self.writers.iter().filter(|writer| writer.waits()).count();
        (disordered.sum(), left)
    }
}

fn run(setting: Setting) -> (usize, usize) {
    let mut total = (0, 0);
    for seed in 1..=SEEDS {
        let mut world = World::new(seed, setting);
        for _ in 0..STEPS {
            world.step();
        }
        world.deliver_all();
        let (disordered, left) = world.verdict();
        let failed = (disordered, left) != (0, 0);
        assert!(
            setting.mutant.is_some() || !failed,
            "seed {seed}: {disordered} out of order, {left} left"
        );
        total = (total.0 + disordered, total.1 + left);
        if disordered > 0 {
            break;
        }
    }
    total
}

#[test]
fn nothing_is_overtaken_and_nothing_is_left() {
    for members in [1, 2] {
        for (provable, leaves_out) in [(true, false), (true, true), (false, false), (false, true)] {
            let setting = Setting { members, provable, leaves_out, mutant: None };
            assert_eq!(run(setting), (0, 0), "{setting:?}");
        }
    }
}

/// The simulation can fail: each part of the rule is needed.
#[test]
fn every_mutant_is_caught() {
    let mutants = [
        (Mutant::NoWatchList, true, false),
        (Mutant::NoWatchList, false, false),
        (Mutant::Credulous, false, false),
        (Mutant::AskedLate, true, false),
        (Mutant::Unbounded, true, false),
        (Mutant::FallIgnored, true, false),
        (Mutant::TokenIgnored, true, false),
        (Mutant::ComparedLate, true, false),
        (Mutant::NotRewound, true, true),
        (Mutant::NotRewound, false, true),
        (Mutant::OutdatedList, true, true),
        (Mutant::OutdatedList, false, true),
    ];
    for (mutant, provable, leaves_out) in mutants {
        let setting = Setting { members: 1, provable, leaves_out, mutant: Some(mutant) };
        let (disordered, left) = run(setting);
        assert!(disordered > 0, "{mutant:?}: {disordered} out of order, {left} left");
    }
}
