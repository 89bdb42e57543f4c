//! Which versions of Redis the relay and its consumers need.

use outflow_connect::redis::{Args, Redis};
use outflow_core::fault::{Fault, FaultKind};

/// The first version of Redis that has all the commands of relay and consumers.
const VERSION_MIN: (u32, u32) = (6, 2);
/// In the answer to `INFO`. Servers that speak as Redis does name the version here that they are
/// like.
const FIELD: &str = "redis_version:";

/// Whether a version such as `7.0.15` is new enough.
pub fn is_recent(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= VERSION_MIN
}

/// What to do about one that is not.
pub fn needed() -> String {
    let (major, minor) = VERSION_MIN;
    format!("Outflow needs Redis {major}.{minor} or later, or Valkey")
}

/// Refuses a server that is too old. `tag`: of the journal, on a cluster. One that does not answer,
/// or not to this user, is not refused: `outflow check` says what the user lacks.
pub async fn too_old(redis: &Redis, tag: &str) -> Option<Fault> {
    let server = redis.server_of(tag).await.ok()?;
    let info = server.call("INFO", Args::from(["server"])).await.ok()?.string()?;
    let version = info.lines().find_map(|line| line.trim().strip_prefix(FIELD))?;
    (!is_recent(version)).then(|| {
        Fault::new(FaultKind::Unfit, format!("this server is Redis {version}")).remedy(needed())
    })
}

#[cfg(test)]
mod tests {
    use super::is_recent;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for version in ["6.2.0", "6.10.1", "7.0.15", "10.0.0"] {
            assert!(is_recent(version), "{version}");
        }
        for version in ["6.0.16", "5.0.14", "2.8", ""] {
            assert!(!is_recent(version), "{version}");
        }
    }
}
