//! The ring of partitions of a kept table. Each partition takes the rows of one hour or one day,
//! and is emptied by TRUNCATE before its turn comes again. Pure.
//!
//! Both numbers of a ring stand in its partition key, which nobody can change. So they are read
//! from there.

use std::time::Duration;

use outflow_core::table_name::quote_identifier;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// A ring of partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ring {
    /// Seconds of `created_at` that one partition takes.
    pub unit: u64,
    /// How many partitions there are: their numbers are 0 to one less.
    pub slots: u64,
}

impl Ring {
    /// The ring for rows that are kept for this long: by the hour for less than two days, else by
    /// the day. One partition more is being filled, and one is being emptied.
    pub fn holding(keep: Duration) -> Self {
        let unit = if keep < Duration::from_secs(2 * DAY) { HOUR } else { DAY };
        Self { unit, slots: keep.as_secs().div_ceil(unit) + 2 }
    }

    /// How long it can keep a row.
    pub fn holds(self) -> Duration {
        Duration::from_secs(self.unit * self.slots.saturating_sub(2))
    }

    /// The partition key. Times before 1970 are counted backwards, so that there is a partition for
    /// them, too.
    pub fn key(self, time: &str) -> String {
        let time = quote_identifier(time);
        let Self { unit, slots } = self;
        format!("abs(extract(epoch from {time} at time zone 'UTC')::bigint / {unit}) % {slots}")
    }

    /// Reads the partition key as Postgres prints it (`pg_get_partkeydef`); `None` if it is not
    /// that of a ring.
    pub fn of_key(printed: &str) -> Option<Self> {
        let lower = printed.to_lowercase();
        if !lower.starts_with("list") || !lower.contains("epoch") {
            return None;
        }
        let (before, slots) = lower.rsplit_once('%')?;
        let (_, unit) = before.rsplit_once('/')?;
        let ring = Self { unit: number(unit)?, slots: number(slots)? };
        (ring.unit > 0 && ring.slots > 0).then_some(ring)
    }

    /// `hour`, `day`, or what else it is.
    pub fn unit_in_words(self) -> &'static str {
        match self.unit {
            HOUR => "hour",
            DAY => "day",
            _ => "period",
        }
    }
}

/// The number in ` (9)::bigint)))`.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([' ', '(', '\'']);
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_holds_what_is_kept() {
        let table = [(1, 1, 3), (25, 1, 27), (47, 1, 49), (48, 24, 4), (49, 24, 5), (168, 24, 9)];
        for (hours, unit, slots) in table {
            let ring = Ring::holding(Duration::from_hours(hours));
            assert_eq!(ring, Ring { unit: unit * HOUR, slots }, "{hours} h");
            assert!(ring.holds() >= Duration::from_hours(hours), "{hours} h");
        }
    }

    #[test]
    fn a_partition_key_is_read_back() {
        let table = [
            (
                "LIST ((abs(((EXTRACT(epoch FROM (created_at AT TIME ZONE 'UTC'::text)))::bigint \
                    / 86400)) % (9)::bigint))",
                Some(Ring { unit: DAY, slots: 9 }),
            ),
            ("LIST (aggregate_type)", None),
            ("RANGE (created_at)", None),
            ("LIST (((EXTRACT(epoch FROM at))::bigint % (9)::bigint))", None),
        ];
        for (printed, expected) in table {
            assert_eq!(Ring::of_key(printed), expected, "{printed}");
        }
    }
}
