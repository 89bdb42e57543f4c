//! How often somebody may give a wrong token: a few times at once and then slowly, for each address
//! and for everybody together. The limit for everybody does not hold for addresses from which
//! somebody has logged in: whoever tries tokens from many addresses keeps none of them out. Memory
//! is bounded.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Failed attempts of one address before it must wait.
const EACH: Rate = Rate { burst: 5.0, per_second: 0.1 };
/// The same of all addresses together.
const ALL: Rate = Rate { burst: 50.0, per_second: 1.0 };
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 1_024;
/// Addresses that are remembered because somebody has logged in from there.
const KNOWN_MAX: usize = 256;

#[derive(Clone, Copy)]
struct Rate {
    burst: f64,
    per_second: f64,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { left: rate.burst, at: now }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let elapsed = now.duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * rate.per_second).min(rate.burst);
        self.at = now;
    }

    /// How long until there is one.
    fn wait(&self, rate: Rate) -> Option<Duration> {
        (self.left < 1.0).then(|| Duration::from_secs_f64((1.0 - self.left) / rate.per_second))
    }
}

/// Attempts to log in.
pub(super) struct Attempts(Mutex<State>);

struct State {
    all: Bucket,
    each: HashMap<IpAddr, Bucket>,
    /// From where somebody has logged in, the last one at the end.
    known: VecDeque<IpAddr>,
}

impl Attempts {
    pub(super) fn new() -> Self {
        let all = Bucket::full(ALL, Instant::now());
        Self(Mutex::new(State { all, each: HashMap::new(), known: VecDeque::new() }))
    }

    /// Takes one attempt, before the token is looked at: many at once are counted, too.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn take(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let (mut state, from) = (self.0.lock(), network(from));
        state.all.fill(ALL, now);
        let mut own = state.each.get(&from).copied().unwrap_or(Bucket::full(EACH, now));
        own.fill(EACH, now);
        let is_known = state.known.contains(&from);
        let of_all = state.all.wait(ALL).filter(|_| !is_known);
        if let Some(wait) = own.wait(EACH).into_iter().chain(of_all).max() {
            return Err(wait);
        }
        if !is_known {
            state.all.left -= 1.0;
        }
        own.left -= 1.0;
        state.remember(from, own, now);
        Ok(())
    }

    /// It was a right one: it does not count. The wrong ones before it do: whoever has a token is
    /// not to try out others between two log-ins.
    pub(super) fn give_back(&self, from: IpAddr) {
        let (mut state, from) = (self.0.lock(), network(from));
        let is_known = state.known.contains(&from);
        if !is_known {
            state.all.left = (state.all.left + 1.0).min(ALL.burst);
        }
        if let Some(own) = state.each.get_mut(&from) {
            own.left = (own.left + 1.0).min(EACH.burst);
        }
        state.known.retain(|known| *known != from);
        if state.known.len() >= KNOWN_MAX {
            state.known.pop_front();
        }
        state.known.push_back(from);
    }
}

impl State {
    /// Whoever has waited for longest is forgotten first.
    fn remember(&mut self, from: IpAddr, bucket: Bucket, now: Instant) {
        if self.each.len() >= ADDRESSES_MAX && !self.each.contains_key(&from) {
            let is_waiting = |bucket: &mut Bucket| {
                bucket.fill(EACH, now);
                bucket.left < EACH.burst
            };
            self.each.retain(|_, bucket| is_waiting(bucket));
            let fullest = self.each.iter().max_by(|(_, a), (_, b)| a.left.total_cmp(&b.left));
            if self.each.len() >= ADDRESSES_MAX
                && let Some(fullest) = fullest.map(|(from, _)| *from)
            {
                self.each.remove(&fullest);
            }
        }
        self.each.insert(from, bucket);
    }
}

/// Whoever has an IPv6 address has all of its network's.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(ip) => {
            let high = u128::from(ip) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(high))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ip(last: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, last))
    }

    #[test]
    fn after_a_few_attempts_an_address_waits() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        for _ in 0..5 {
            assert_eq!(attempts.take(ip(1), now), Ok(()));
        }
        let wait = attempts.take(ip(1), now).expect_err("to wait");
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(attempts.take(ip(2), now), Ok(()), "others do not");
        let later = now + Duration::from_secs(11);
        assert_eq!(attempts.take(ip(1), later), Ok(()));
        assert!(attempts.take(ip(1), later).is_err(), "one at a time");
    }

    #[test]
    fn right_ones_do_not_count() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        for _ in 0..100 {
            assert_eq!(attempts.take(ip(1), now), Ok(()));
            attempts.give_back(ip(1));
        }
    }

    #[test]
    fn a_right_one_does_not_wipe_out_wrong_ones() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        for _ in 0..4 {
            assert_eq!(attempts.take(ip(1), now), Ok(()));
        }
        assert_eq!(attempts.take(ip(1), now), Ok(()));
        attempts.give_back(ip(1));
        assert_eq!(attempts.take(ip(1), now), Ok(()), "the fifth wrong one");
        assert!(attempts.take(ip(1), now).is_err());
    }

    #[test]
    fn wrong_ones_from_everywhere_keep_nobody_out_who_was_in_before() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        assert_eq!(attempts.take(ip(1), now), Ok(()));
        attempts.give_back(ip(1));
        let passed = (10..200).filter(|n| attempts.take(ip(*n), now).is_ok()).count();
        assert_eq!(passed, 50);
        assert!(attempts.take(ip(2), now).is_err(), "nobody knows this address");
        assert_eq!(attempts.take(ip(1), now), Ok(()));
        attempts.give_back(ip(1));
        assert!(attempts.take(ip(2), now).is_err(), "what it did not take it does not give back");
        for n in 0..2 * KNOWN_MAX {
            attempts.give_back(IpAddr::V4(std::net::Ipv4Addr::from(u32::try_from(n).unwrap_or(0))));
        }
        assert_eq!(attempts.0.lock().known.len(), KNOWN_MAX);
    }

    #[test]
    fn many_addresses_share_a_limit_and_a_bounded_memory() {
        let (attempts, mut now) = (Attempts::new(), Instant::now());
        let v6 = |n: u128| IpAddr::V6(Ipv6Addr::from((0x2001_0db8 << 96) | (n << 64) | n));
        let passed = (0..1_000).filter(|n| attempts.take(v6(*n), now).is_ok()).count();
        assert_eq!(passed, 50);
        for n in 0..5_000 {
            now += Duration::from_secs(1);
            let _ = attempts.take(v6(n), now);
        }
        assert!(attempts.0.lock().each.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let one: IpAddr = "2001:db8::1".parse().expect("an address");
        let two: IpAddr = "2001:db8::ffff:2".parse().expect("an address");
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("an address");
        assert_eq!(network(one), network(two));
        assert_eq!(network(mapped), ip(1));
    }
}
