//! From every state in which nothing more goes wrong, delivery can be completed: the whole graph,
//! walked backwards.
//!
//! stateright's `eventually` needs a graph without cycles (empty claims, recoveries and share-outs
//! repeat), so this has an exploration of its own. It also counts the states once more, and the
//! kinds of steps that were taken.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use crate::world::World;

/// What the exploration found.
pub(crate) struct Graph<Step> {
    pub(crate) states: usize,
    /// States from which delivery cannot be completed without a further fault; one way into the
    /// first of them.
    pub(crate) stuck: usize,
    pub(crate) way: Vec<Step>,
    /// How often each step was taken.
    pub(crate) taken: HashMap<Step, usize>,
    /// What has happened, and how often ([`World::sight`]).
    pub(crate) sights: HashMap<&'static str, usize>,
}

/// Visits every state.
pub(crate) fn explore<W: World>(bounds: &W) -> Graph<W::Action> {
    let mut numbers: HashMap<u64, usize> = HashMap::new();
    // By state: the way it was first come to, and from where it can be come to without a fault.
    let mut first: Vec<Option<(usize, W::Action)>> = Vec::new();
    let mut before: Vec<Vec<usize>> = Vec::new();
    let mut delivered = Vec::new();
    let mut taken: HashMap<W::Action, usize> = HashMap::new();
    let mut sights: HashMap<&'static str, usize> = HashMap::new();
    let mut queue = VecDeque::new();
    let mut steps = Vec::new();
    let mut enter = |state: W::State, from: Option<(usize, W::Action)>, queue: &mut VecDeque<_>| {
        let known = numbers.len();
        let number = match numbers.entry(fingerprint(&state)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                entry.insert(known);
                first.push(from);
                before.push(Vec::new());
                if bounds.is_delivered(&state) {
                    delivered.push(known);
                }
                queue.push_back((known, state));
                known
            }
        };
        if let Some((from, _)) = from.filter(|(_, step)| !W::is_fault(*step)) {
            before[number].push(from);
        }
    };
    for state in bounds.init_states() {
        enter(state, None, &mut queue);
    }
    while let Some((number, state)) = queue.pop_front() {
        bounds.actions(&state, &mut steps);
        for step in steps.drain(..) {
            if let Some(next) = bounds.next_state(&state, step) {
                *taken.entry(step).or_default() += 1;
                if let Some(sight) = bounds.sight(&state, step) {
                    *sights.entry(sight).or_default() += 1;
                }
                enter(next, Some((number, step)), &mut queue);
            }
        }
    }
    let mut delivers = vec![false; first.len()];
    let mut back = delivered;
    while let Some(number) = back.pop() {
        if !std::mem::replace(&mut delivers[number], true) {
            back.append(&mut before[number]);
        }
    }
    let mut at = delivers.iter().position(|delivers| !delivers);
    let mut way = Vec::new();
    while let Some((from, step)) = at.and_then(|number| first[number]) {
        way.insert(0, step);
        at = Some(from);
    }
    Graph {
        states: first.len(),
        stuck: delivers.iter().filter(|delivers| !**delivers).count(),
        way,
        taken,
        sights,
    }
}

fn fingerprint(state: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(state)
}
