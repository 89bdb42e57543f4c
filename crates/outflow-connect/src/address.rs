//! What addresses of Postgres and Redis have in common: where a password may be in them, and how
//! they are shown without it. Pure.
//!
//! A URL is checked before anything else reads it: a password with an `@` (for Redis, a `/`, `?` or
//! `#`) that is not percent-encoded ends early, and its rest would be taken for a host, a database
//! or a parameter, which messages name.

use std::path::Path;

use outflow_core::fault::Fault;

/// Replaces a password in printed addresses.
const HIDDEN: &str = "***";

const NO_PORT: &str = "a port is a number from 1 to 65535";
const NO_HOST: &str = "if it is the password, the host is missing: write user:password@host";

/// An address that cannot be used, with what is expected: a [`Fault`] of kind `Configuration`. The
/// text holds no part of the address, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct BadUrl(Fault);

impl BadUrl {
    /// An address that cannot be used, and why.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(Fault::configuration(reason))
    }

    /// The same, with what to do.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self(self.0.remedy(remedy))
    }

    /// A file that the address names and that cannot be used.
    pub(crate) fn of_file(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<BadUrl> for Fault {
    fn from(bad: BadUrl) -> Self {
        bad.0
    }
}

/// The parts of `scheme://[user[:password]@]rest`.
pub struct Parts<'a> {
    scheme: &'a str,
    /// As they are written, percent-encoded.
    user: Option<&'a str>,
    password: Option<&'a str>,
    /// Hosts, path and query.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    /// `None`: no URL, or one whose password runs into the rest.
    pub fn of(url: &'a str) -> Option<Self> {
        let (scheme, all) = url.split_once("://")?;
        // libpq and tokio-postgres let the first '@' end a password, whatever is in it; other URLs
        // the last one of what is before the path.
        let is_postgres = scheme.starts_with("postgres");
        let at = if is_postgres {
            all.find('@')
        } else {
            all[..all.find(['/', '?', '#']).unwrap_or(all.len())].rfind('@')
        };
        let (before, rest) = at.map_or((None, all), |at| (Some(&all[..at]), &all[at + 1..]));
        let (user, password) = match before.map(|before| before.split_once(':').ok_or(before)) {
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
            None => (None, None),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let runs_on = if is_postgres {
            user.is_some_and(|user| user.contains(['/', '?', '#'])) || rest.contains('@')
        } else {
            let is_name_odd =
                |pair: &str| pair.split('=').next().is_some_and(|name| name.contains('@'));
            rest.contains('#') || place.contains('@') || query.split('&').any(is_name_odd)
        };
        (!runs_on).then_some(Self { scheme, user, password, rest })
    }

    /// A user, and not even an empty password.
    pub fn has_user_alone(&self) -> bool {
        self.password.is_none() && self.user.is_some_and(|user| !user.is_empty())
    }

    /// Whether what stands behind the colon of each host is a port, or nothing. Else it may be a
    /// password without its host.
    fn has_ports(&self) -> bool {
        let hosts = self.rest.split(['/', '?', '#']).next().unwrap_or_default();
        hosts.split(',').all(|host| {
            // Behind an IPv6 address in brackets.
            let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
            behind.rsplit_once(':').is_none_or(|(_, port)| port.is_empty() || is_port(port))
        })
    }

    fn query(&self) -> &'a str {
        self.rest.split_once('?').map_or("", |(_, query)| query)
    }

    fn has_secret(&self) -> bool {
        self.password.is_some_and(|password| !password.is_empty())
            || self.query().split('&').any(is_secret)
    }
}

/// Rejects a URL whose password has unescaped delimiters, without repeating any part of the URL.
/// Accepts text that is not a URL.
///
/// # Errors
/// What to do.
pub fn check(text: &str) -> Result<(), BadUrl> {
    if !text.contains("://") {
        return Ok(());
    }
    match Parts::of(text) {
        Some(parts) if parts.has_ports() => Ok(()),
        Some(_) => Err(BadUrl::because(NO_PORT).remedy(NO_HOST)),
        None => Err(BadUrl::because("there is an '@', '/', '?' or '#' too many").remedy(
            "in a user name, a password or a parameter, write %40 for '@', %2F for '/', \
                %3F for '?' and %23 for '#'",
        )),
    }
}

/// Whether a path is an address that was given by mistake.
pub fn is_address(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("://")
        || (text.contains("host=") && text.contains(' '))
        || text.contains("password=")
}

/// Whether an address has a password in it.
pub fn has_secret(text: &str) -> bool {
    match Parts::of(text) {
        Some(parts) => parts.has_secret() || !parts.has_ports(),
        // Name and value pairs, or something that is not understood.
        None => text.contains("pass") || text.contains("://"),
    }
}

/// An address without its password. Prints nothing of an address that cannot be parsed.
pub fn redacted(text: &str) -> String {
    let parts = Parts::of(text).filter(Parts::has_ports);
    let Some(Parts { scheme, user, password, rest }) = parts else {
        return HIDDEN.to_owned();
    };
    let user = match (user, password) {
        (None, _) => String::new(),
        (Some(user), None) => format!("{user}@"),
        // A password alone, written without its colon and with one in it, looks like a user with a
        // password: shown is what looks like a name.
        (Some(user), Some(_)) if scheme.starts_with("redis") && !is_name(user) => {
            format!("{HIDDEN}:{HIDDEN}@")
        }
        (Some(user), Some(_)) => format!("{user}:{HIDDEN}@"),
    };
    let rest = match rest.split_once('?') {
        // A pair without a name may be anything.
        Some((before, query))
            if query.split('&').any(|pair| is_secret(pair) || !pair.contains('=')) =>
        {
            before
        }
        _ => rest,
    };
    format!("{scheme}://{user}{rest}")
}

/// As people write one: 1 to 65535, without leading zeros.
fn is_port(port: &str) -> bool {
    port.bytes().all(|byte| byte.is_ascii_digit())
        && !port.starts_with('0')
        && port.parse::<u16>().is_ok()
}

fn is_name(user: &str) -> bool {
    user.len() <= 32
        && user.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_' | '.'))
}

/// The name of a parameter may be encoded too.
fn is_secret(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_lowercase();
    name.contains("pass") && !name.contains("passfile")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        let table = [
            ("postgres://u:hunter2@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:hunter2@h:5432,g:5433/d", "postgres://u:***@h:5432,g:5433/d"),
            ("postgres://u@h/d?connect_timeout=3", "postgres://u@h/d?connect_timeout=3"),
            ("postgres://u@h/d?password=hunter2", "postgres://u@h/d"),
            ("postgres://u@h/d?passw%6Frd=hunter2", "postgres://u@h/d"),
            ("postgres://u@h/d?hunter2", "postgres://u@h/d"),
            ("postgres://u@h/d?passfile=/p", "postgres://u@h/d?passfile=/p"),
            ("redis://:hunter2@h:6379", "redis://:***@h:6379"),
            ("redis://relay:hunter2@h:6379", "redis://relay:***@h:6379"),
            ("redis://hunter2:x@h:6379", "redis://***:***@h:6379"),
            ("redis-sentinel://h?sentinel_password=hunter2&service_name=m", "redis-sentinel://h"),
            ("postgres://u:hunter2@x@h/d", "***"),
            ("postgres://u:hunt/er2@h/d", "postgres://u:***@h/d"),
            ("redis://u:hunt/er2@h/1", "***"),
            ("host=h password=hunter2", "***"),
            ("postgres://u:hunter2", "***"),
            ("redis://u:hunter2/0", "***"),
        ];
        for (address, expected) in table {
            assert_eq!(redacted(address), expected);
            assert!(!redacted(address).contains("hunter2"));
            assert_eq!(
                has_secret(address),
                !address.ends_with("=3")
                    && !address.contains("?hunter2")
                    && !address.contains("passfile"),
                "{address}"
            );
        }
    }

    #[test]
    fn a_password_that_runs_into_the_rest_is_refused() {
        let table = [
            ("postgres://u:p@h/d", true),
            ("postgres://u:p%40@h/d", true),
            ("postgres://h:1/d?x=y", true),
            ("postgres://h:/d", true),
            ("postgres://h:5432,[::1]:5433/d", true),
            ("postgres://[::1]/d", true),
            ("postgres://u:000000", false),
            ("postgres://u:hunter2/d", false),
            ("postgres://h:5432,u:99999/d", false),
            ("redis://u:012345", false),
            ("redis-cluster://[::1]:7001", true),
            ("host=h password=a@b", true),
            ("postgres://u:p@q@h/d", false),
            ("postgres://u:p/q?r#s@h/d", true),
            ("postgres://h/d?x=a@b", false),
            ("redis://:p%2F@h", true),
            ("redis://:p/q@h", false),
            ("redis://:12/q@h", false),
            ("redis://:p?q@h", false),
            ("redis://:p#q@h", false),
            ("redis://:p@q@h", true),
            ("redis-sentinel://h?service_name=m&sentinel_password=a@b", true),
            ("redis://u:12?q@h", false),
        ];
        for (address, is_fine) in table {
            assert_eq!(check(address).is_ok(), is_fine, "{address}");
        }
    }
}
