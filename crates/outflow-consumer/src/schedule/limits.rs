//! How many entries of a type are taken at a time, and how fast entries are taken. Pure.

use std::collections::VecDeque;
use std::time::Instant;

use super::lane::Lane;
use crate::settings::{LimitedType, Settings};
use crate::token_bucket::TokenBucket;

/// The limits of a consumer, and the lanes that wait for them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    rate: Option<TokenBucket>,
    /// By the numbers of the settings.
    types: Vec<TypeLimit>,
}

/// The limits of one event type.
#[derive(Debug)]
struct TypeLimit {
    /// How many entries have a place at a time.
    places: usize,
    /// How many have one.
    held: usize,
    rate: Option<TokenBucket>,
    /// Lanes whose first entry waits for a place or for the rate.
    parked: VecDeque<Lane>,
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let of = |LimitedType { entries, rate, .. }: &LimitedType| TypeLimit {
            places: entries.unwrap_or(usize::MAX),
            held: 0,
            rate: rate.as_ref().map(TokenBucket::new),
            parked: VecDeque::new(),
        };
        Self {
            rate: settings.rate.as_ref().map(TokenBucket::new),
            types: settings.types.iter().map(of).collect(),
        }
    }

    /// When the rate of all allows the next entry, if that is not now.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.rate.as_ref()?.next_at(now)
    }

    /// Whether an entry of this type may be taken.
    pub(super) fn has_place(&self, number: usize, now: Instant) -> bool {
        let limit = &self.types[number];
        limit.held < limit.places && limit.next_at(now).is_none()
    }

    /// Gives an entry of this type a place.
    pub(super) fn hold(&mut self, number: usize) {
        self.types[number].held += 1;
    }

    pub(super) fn release(&mut self, number: usize) {
        self.types[number].held -= 1;
    }

    /// Counts an entry that is taken against the rates.
    pub(super) fn count(&mut self, number: Option<usize>, now: Instant) {
        let of_type = number.and_then(|number| self.types[number].rate.as_mut());
        for bucket in self.rate.iter_mut().chain(of_type) {
            bucket.take(now);
        }
    }

    pub(super) fn park(&mut self, number: usize, lane: Lane) {
        self.types[number].parked.push_back(lane);
    }

    /// The type and the lane that have waited for longest, of a type from `from` on that has a
    /// place.
    pub(super) fn parked(&self, from: usize, now: Instant) -> Option<(usize, &Lane)> {
        (from..self.types.len())
            .filter(|number| self.has_place(*number, now))
            .find_map(|number| Some((number, self.types[number].parked.front()?)))
    }

    /// Takes the lane of this type that has waited for longest.
    pub(super) fn unpark(&mut self, number: usize) -> Option<Lane> {
        self.types[number].parked.pop_front()
    }

    /// When the rate of a type allows the next of its entries that wait for nothing else.
    pub(super) fn parked_until(&self, now: Instant) -> Option<Instant> {
        let waiting = |limit: &&TypeLimit| limit.held < limit.places && !limit.parked.is_empty();
        self.types.iter().filter(waiting).filter_map(|limit| limit.next_at(now)).min()
    }

    pub(super) fn forget(&mut self, is_gone: impl Fn(&Lane) -> bool) {
        for limit in &mut self.types {
            limit.parked.retain(|lane| !is_gone(lane));
        }
    }

    #[cfg(test)]
    pub(super) fn are_idle(&self) -> bool {
        self.types.iter().all(|limit| limit.held == 0 && limit.parked.is_empty())
    }
}

impl TypeLimit {
    fn next_at(&self, now: Instant) -> Option<Instant> {
        self.rate.as_ref()?.next_at(now)
    }
}
