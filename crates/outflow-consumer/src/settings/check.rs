//! The check of all settings.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::bad::BadSetting;
use super::{LimitedType, Settings};

/// Entries that one script may read.
const BATCH_MAX: usize = 1_000;
/// Calls of the handler, and entries in one.
const CALLS_MAX: usize = 10_000;
/// Event types with limits of their own, and bytes of the name of one. A longer type has no limit,
/// and is not kept in memory to look for one (read.lua).
const LIMITED_TYPES_MAX: usize = 100;
const TYPE_BYTES_MAX: usize = 512;
const DAY: Duration = Duration::from_hours(24);

impl Settings {
    pub(super) fn check(&self) -> Result<(), BadSetting> {
        within("workers", &self.workers, &(1..=CALLS_MAX))?;
        within("handle_batch", &self.handle_batch, &(1..=CALLS_MAX))?;
        within("batch", &self.batch, &(1..=BATCH_MAX))?;
        within("prefetch", &self.prefetch, &(1..=1_000_000))?;
        within("prefetch_bytes", &self.prefetch_bytes, &(16 << 10..=1 << 40))?;
        within("entry_bytes_max", &self.entry_bytes_max, &(1..=1 << 40))?;
        within("pending_max", &self.pending_max, &(1..=1 << 40))?;
        within("attempts_max", &self.attempts_max, &(1..=u32::MAX))?;
        // Redis counts milliseconds: a shorter time would be none.
        lasting("retry_delay", self.retry_delay, 1)?;
        lasting("attempt_timeout", self.attempt_timeout, 1)?;
        lasting("stop_grace", self.stop_grace, 0)?;
        lasting("claim_idle", self.claim_idle, 10)?;
        lasting("forget_idle", self.forget_idle, 1)?;
        named("group", &self.group)?;
        named("consumer", &self.consumer)?;
        self.check_limits()?;
        let streams: Vec<&str> = self.streams.iter().map(|source| source.stream.as_str()).collect();
        for (number, source) in self.streams.iter().enumerate() {
            named("stream", &source.stream)?;
            if streams[..number].contains(&source.stream.as_str()) {
                return Err(bad("stream", format!("{:?} twice", source.stream), "each once"));
            }
            let dead = source.dead_letter_stream(false);
            named("dead_letter_stream", &dead)?;
            if streams.contains(&dead.as_str()) {
                let expected = "a stream that this consumer does not read";
                return Err(bad("dead_letter_stream", format!("{dead:?}"), expected));
            }
        }
        Ok(())
    }
}

impl Settings {
    fn check_limits(&self) -> Result<(), BadSetting> {
        if let Some(rate) = &self.rate {
            rate.check("rate_limit", None)?;
        }
        for limited in &self.types {
            let LimitedType { name, entries, rate } = limited;
            let setting = if entries.is_some() { "type_limit" } else { "type_rate_limit" };
            if !(1..=TYPE_BYTES_MAX).contains(&name.len()) {
                let value = format!("for a type of {} bytes", name.len());
                let expected = format!("an event type of 1 to {TYPE_BYTES_MAX} bytes");
                return Err(bad(setting, value, expected));
            }
            if let Some(entries) = entries
                && !(1..=CALLS_MAX).contains(entries)
            {
                let value = format!("{entries} for type {name:?}");
                return Err(bad(setting, value, format!("1 to {CALLS_MAX}")));
            }
            if let Some(rate) = rate {
                rate.check("type_rate_limit", Some(name))?;
            }
        }
        if self.types.len() > LIMITED_TYPES_MAX {
            let value = format!("set for {} types", self.types.len());
            return Err(bad("type_limit", value, format!("at most {LIMITED_TYPES_MAX}")));
        }
        Ok(())
    }
}

fn bad(name: &'static str, value: String, expected: impl Into<String>) -> BadSetting {
    BadSetting { name, value, expected: expected.into() }
}

fn within<T: PartialOrd + Display>(
    name: &'static str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), BadSetting> {
    if range.contains(value) {
        return Ok(());
    }
    Err(bad(name, value.to_string(), format!("{} to {}", range.start(), range.end())))
}

fn lasting(name: &'static str, value: Duration, least_ms: u64) -> Result<(), BadSetting> {
    // A group forgets its consumers after days, if it likes.
    let most = if name == "forget_idle" { DAY * 365 } else { DAY };
    if (Duration::from_millis(least_ms)..=most).contains(&value) {
        return Ok(());
    }
    let expected = format!("{least_ms} ms to {} h", most.as_secs() / 3_600);
    Err(bad(name, format!("{value:?}"), expected))
}

fn named(name: &'static str, value: &str) -> Result<(), BadSetting> {
    if value.is_empty() { Err(bad(name, "empty".to_owned(), "a name")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Rate, Settings, SettingsBuilder, Source};

    #[test]
    fn what_cannot_be_used_is_named_with_its_value_and_what_is_expected() {
        type Change = fn(SettingsBuilder) -> SettingsBuilder;
        let rows: [(Change, &str); 19] = [
            (|all| all.type_limit("A", 0), "type_limit is 0 for type \"A\"; expected 1 to 10000"),
            (
                |all| all.type_limit("A", 1).type_limit("A", 10_001),
                "type_limit is 10001 for type \"A\"; expected 1 to 10000",
            ),
            (
                |all| all.type_limit("", 1),
                "type_limit is for a type of 0 bytes; expected an event type of 1 to 512 bytes",
            ),
            (
                |all| all.type_rate_limit("t".repeat(513), Rate::per_second(1)),
                "type_rate_limit is for a type of 513 bytes; expected an event type of 1 to",
            ),
            (
                |all| (0..101).fold(all, |all, number| all.type_limit(number.to_string(), 1)),
                "type_limit is set for 101 types; expected at most 100",
            ),
            (
                |all| all.rate_limit(Rate::per_second(0)),
                "rate_limit is 0 events in 1s; expected 1 to 1000000 as number of events",
            ),
            (
                |all| all.rate_limit(Rate::new(1, Duration::ZERO)),
                "rate_limit is 1 events in 0ns; expected 1 ms to 24 h as time",
            ),
            (
                |all| all.rate_limit(Rate::per_second(10_000).burst(49)),
                "rate_limit is 10000 events in 1s, 49 at once; expected 50 to 1000000 as burst",
            ),
            (
                |all| all.type_rate_limit("A", Rate::per_second(1).burst(0)),
                "type_rate_limit is 1 events in 1s, 0 at once for type \"A\"; expected 1 to",
            ),
            (|all| all.workers(0), "workers is 0; expected 1 to 10000"),
            (|all| all.handle_batch(0), "handle_batch is 0; expected 1 to 10000"),
            (|all| all.batch(1_001), "batch is 1001; expected 1 to 1000"),
            (|all| all.prefetch_bytes(1), "prefetch_bytes is 1; expected 16384 to"),
            (|all| all.attempts_max(0), "attempts_max is 0; expected 1 to"),
            (
                |all| all.claim_idle(Duration::from_millis(9)),
                "claim_idle is 9ms; expected 10 ms to 24 h",
            ),
            (|all| all.retry_delay(Duration::ZERO), "retry_delay is 0ns; expected 1 ms to 24 h"),
            (|all| all.stream("events"), "stream is \"events\" twice; expected each once"),
            (|all| all.stream(""), "stream is empty; expected a name"),
            (
                |all| all.stream(Source::new("other").dead_letters_to("events")),
                "dead_letter_stream is \"events\"; expected a stream that this consumer does not",
            ),
        ];
        for (change, expected) in rows {
            let built = change(Settings::builder("events", "group", "one")).build();
            let error = built.expect_err(expected).to_string();
            assert!(error.starts_with(&format!("setting {expected}")), "{error}");
        }
        assert!(Settings::builder("events", "", "one").build().is_err());
        assert!(Settings::builder("events", "group", "").build().is_err());
        let settings = Settings::builder("events", "group", "one").stream("others").build();
        assert_eq!(settings.expect("settings").streams().len(), 2);
        let rates = [(1, 86_400_000), (1_000_000, 1), (1_000_000, 1_000), (7, 1_000)];
        for (events, per) in rates {
            let rate = Rate::new(events, Duration::from_millis(per));
            assert!(Settings::builder("a", "g", "c").rate_limit(rate).build().is_ok(), "{rate:?}");
        }
    }

    #[test]
    fn dead_letters_are_in_the_slot_of_their_stream() {
        let plain = Source::new("events.order");
        assert_eq!(plain.dead_letter_stream(false), "events.order.dead");
        assert_eq!(plain.dead_letter_stream(true), "{events.order}.dead");
        let tagged = Source::new("{events}.order");
        assert_eq!(tagged.dead_letter_stream(true), "{events}.order.dead");
        assert_eq!(tagged.check_slots("group"), Ok(()));
        let elsewhere = plain.dead_letters_to("elsewhere").check_slots("group");
        let error = elsewhere.expect_err("another slot").to_string();
        assert!(
            error.contains("\"elsewhere\"") && error.contains("{events.order}.dead"),
            "{error}"
        );
        assert!(Source::new("}{").check_slots("group").is_err());
    }
}
