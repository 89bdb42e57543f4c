//! Which server it is, in which version, and whether it runs scripts.

use super::finding::{Findings, advice};
use crate::relay::sink::{needs, redis_version};
use outflow_connect::redis::Redis;

const ABOUT: &str = "redis";
/// Servers that speak as Redis does, and the field of INFO that has their own version. Of these,
/// Outflow is tested with Valkey.
const OTHERS: [(&str, &str); 3] = [
    ("Valkey", "valkey_version"),
    ("Dragonfly", "dragonfly_version"),
    ("Apache Kvrocks", "kvrocks_version"),
];

/// What `INFO` says.
#[derive(Debug, PartialEq, Eq)]
struct Known<'a> {
    name: &'static str,
    version: &'a str,
    /// The version of Redis that it is like.
    like: &'a str,
}

impl<'a> Known<'a> {
    fn of(value: &impl Fn(&str) -> &'a str) -> Self {
        let like = value("redis_version");
        let other = OTHERS.iter().map(|(name, field)| (*name, value(field)));
        let other = other.filter(|(_, version)| !version.is_empty()).last();
        let (name, version) = other.unwrap_or(("Redis", like));
        Self { name, version, like }
    }
}

/// `value`: of a field of `INFO`; empty if there is none.
pub(super) fn check<'a>(value: &impl Fn(&str) -> &'a str, findings: &mut Findings) {
    let known = Known::of(value);
    let Known { name, version, like } = known;
    let what = match name {
        "Redis" => format!("{name} {version}"),
        _ => format!("{name} {version}, which is like Redis {like}"),
    };
    if !redis_version::is_recent(like) {
        findings.error(ABOUT, what, advice(redis_version::needed()));
    } else if matches!(name, "Redis" | "Valkey") {
        findings.ok(ABOUT, what);
    } else {
        let what = format!("{what}; Outflow is not tested with it");
        findings.warning(ABOUT, what, advice("use Redis or Valkey"));
    }
}

/// The first versions that replay the append-only file with all rights, as far as
/// tests/it/replay.rs has tried them: versions just before may do so, too (redis/redis#14545,
/// valkey-io/valkey#3984).
const ALL_RIGHTS: [(&str, [u32; 3]); 2] = [("Valkey", [9, 1, 2]), ("Redis", [8, 6, 3])];

/// Whether the server replays the append-only file with all rights, whatever the user `default` may
/// do.
pub(super) fn replays_with_all_rights<'a>(value: &impl Fn(&str) -> &'a str) -> bool {
    let known = Known::of(value);
    let numbers = known.version.split('.').map_while(|part| part.parse().ok());
    let version: Vec<u32> = numbers.collect();
    let is_one =
        |(name, first): &(&str, [u32; 3])| *name == known.name && version >= first.to_vec();
    ALL_RIGHTS.iter().any(is_one)
}

/// Whether scripts run: an append is one, and some servers can be without Lua. That a user may not
/// run any is told elsewhere, with the line that allows it.
pub(super) async fn runs_scripts(redis: &Redis, findings: &mut Findings) -> bool {
    let outcome = needs::runs_scripts(redis).await;
    if let Err(failure) = &outcome {
        findings.error(ABOUT, needs::scriptless(failure), advice(needs::SCRIPTS));
    }
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_were_tried_are_taken_to_replay_with_all_rights() {
        for (field, version, expected) in [
            ("redis_version", "7.0.15", false),
            ("redis_version", "8.6.2", false),
            ("redis_version", "8.6.3", true),
            ("redis_version", "8.10.0", true),
            ("redis_version", "10.0.0", true),
            ("redis_version", "255.255.255", true),
            ("redis_version", "", false),
            ("dragonfly_version", "10.0.0", false),
            ("valkey_version", "8.1.7", false),
            ("valkey_version", "9.0.4", false),
            ("valkey_version", "9.1.2", true),
        ] {
            let value = |name: &str| if name == field { version } else { "" };
            assert_eq!(replays_with_all_rights(&value), expected, "{field} {version}");
        }
    }

    #[test]
    fn servers_are_called_by_their_names() {
        let shows = |fields: &[(&str, &'static str)], expected: &str| {
            let value = |name: &str| {
                fields.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
            };
            let mut findings = Findings::default();
            check(&value, &mut findings);
            assert_eq!(findings.list()[0].to_string(), expected);
        };
        shows(&[("redis_version", "8.0.6")], "✓ ok: redis: Redis 8.0.6");
        shows(
            &[("redis_version", "7.2.4"), ("valkey_version", "9.1.2")],
            "✓ ok: redis: Valkey 9.1.2, which is like Redis 7.2.4",
        );
        shows(
            &[("redis_version", "7.4.0"), ("dragonfly_version", "df-v1.31.0")],
            "! warning: redis: Dragonfly df-v1.31.0, which is like Redis 7.4.0; Outflow is not \
                tested with it; use Redis or Valkey",
        );
        let old = "✗ error: redis: Redis 6.0.16; Outflow needs Redis 6.2 or later, or Valkey";
        shows(&[("redis_version", "6.0.16")], old);
    }
}
