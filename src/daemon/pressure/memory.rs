//! What Redis tells of its memory, and what follows from it. Pure.

use crate::config::MemoryLimits;

/// After so many bytes that were appended Redis is asked again, at the latest.
const STEP_MAX: u64 = 64 << 20;
/// And not after fewer.
const STEP_MIN: u64 = 1 << 18;
/// A part of the room between the limit and a full Redis. Each relay appends one before it asks
/// again: with 4 steps, 6 relays came to 98 % of 24 MB.
const STEPS: u64 = 16;

/// A part of what `INFO memory` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Memory {
    used: u64,
    /// 0: there is no limit. `None`: it is not told, as by some hosted servers.
    max: Option<u64>,
    policy: String,
}

/// Where the memory that is used is between the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no limit: why.
    Off(&'static str),
    /// Less than the lower limit is used.
    Below,
    Between,
    /// At the upper limit, or above it.
    Above,
}

impl Memory {
    pub(super) fn parse(info: &str) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.trim().split_once(':'));
            lines.find(|(field, _)| *field == name).map(|(_, value)| value)
        };
        let number = |name: &str| field(name).and_then(|value| value.parse().ok());
        // Redis itself leaves buffers for replicas and for the append-only file out.
        let used: u64 = number("used_memory").unwrap_or(0);
        Self {
            used: used.saturating_sub(number("mem_not_counted_for_evict").unwrap_or(0)),
            max: number("maxmemory"),
            policy: field("maxmemory_policy").unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn verdict(&self, limits: MemoryLimits) -> Verdict {
        let max = match self.max {
            None => return Verdict::Off("Redis does not tell its maxmemory"),
            Some(0) => return Verdict::Off("Redis has no maxmemory"),
            Some(max) => max,
        };
        if !matches!(self.policy.as_str(), "noeviction" | "") {
            return Verdict::Off("Redis makes room by itself (maxmemory-policy evicts keys)");
        }
        let is_over = |percent: u8| self.used >= part(max, percent);
        match (is_over(limits.pause), is_over(limits.resume)) {
            (true, _) => Verdict::Above,
            (false, true) => Verdict::Between,
            (false, false) => Verdict::Below,
        }
    }

    /// How many bytes may be appended before it is asked again.
    pub(super) fn step(&self, limits: MemoryLimits) -> u64 {
        let Some(max) = self.max.filter(|max| *max > 0) else { return u64::MAX };
        let room = max - part(max, limits.pause);
        (room / STEPS).clamp(STEP_MIN, STEP_MAX)
    }

    pub(super) fn told(&self, limits: MemoryLimits) -> String {
        let max = self.max.unwrap_or(0);
        let percent = u128::from(self.used) * 100 / u128::from(max.max(1));
        format!(
            "Redis uses {percent}% of maxmemory ({max} bytes); events wait in Postgres until it \
                uses less than {}% (redis.memory_pause, redis.memory_resume)",
            limits.resume
        )
    }
}

fn part(of: u64, percent: u8) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MemoryLimits = MemoryLimits { pause: 85, resume: 75 };

    fn memory(used: u64, max: u64, policy: &str) -> Memory {
        Memory::parse(&format!(
            "# Memory\r\nused_memory:{}\r\nused_memory_human:1M\r\nmaxmemory:{max}\r\n\
             maxmemory_policy:{policy}\r\nmem_not_counted_for_evict:5\r\n",
            used + 5
        ))
    }

    #[test]
    fn it_is_above_the_upper_limit_below_the_lower_one_or_between() {
        use Verdict::{Above, Below, Between, Off};
        let table = [
            (85, 100, "noeviction", Above),
            (84, 100, "noeviction", Between),
            (75, 100, "noeviction", Between),
            (74, 100, "noeviction", Below),
            (u64::MAX - 5, u64::MAX, "noeviction", Above),
            (500, 100, "noeviction", Above),
            (99, 0, "noeviction", Off("Redis has no maxmemory")),
            (
                99,
                100,
                "volatile-lru",
                Off("Redis makes room by itself (maxmemory-policy evicts keys)"),
            ),
        ];
        for (used, max, policy, expected) in table {
            let verdict = memory(used, max, policy).verdict(LIMITS);
            assert_eq!(verdict, expected, "{used} of {max}, {policy}");
        }
    }

    #[test]
    fn a_limit_that_is_not_told_is_not_taken_for_none() {
        let hosted = Memory::parse("# Memory\r\nused_memory:99\r\n");
        assert_eq!(hosted.verdict(LIMITS), Verdict::Off("Redis does not tell its maxmemory"));
        assert_eq!(hosted.step(LIMITS), u64::MAX);
    }

    #[test]
    fn it_is_asked_again_before_the_room_is_used_up() {
        let table = [(0, u64::MAX), (1 << 20, 1 << 18), (1 << 27, 1_258_291), (1 << 40, 64 << 20)];
        for (max, expected) in table {
            assert_eq!(memory(0, max, "noeviction").step(LIMITS), expected, "{max}");
        }
    }
}
