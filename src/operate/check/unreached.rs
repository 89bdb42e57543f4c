//! Why there is no connection to Redis, and what to do: that it cannot be reached is said only if
//! nothing answers there.

use secrecy::SecretString;

use super::finding::{Findings, Level, Remedy, advice, redis_line, split};
use super::speaks::{self, Speaks};
use outflow_connect::redis::{CORRECTABLE, Failure, Redis};

const ABOUT: &str = "redis";
const WHERE: &str = "check that it runs, and that redis.url has its host and port";
/// What Redis says and that waiting does not help against, with what to do. By the words, because
/// most have the code `ERR`.
const SAID: [(&str, &str); 5] = [
    ("WRONGPASS", "correct the user or the password in redis.url"),
    ("NOAUTH", "give a password in redis.url, and a user if it is not default"),
    (
        "DB index is out of range",
        "let redis.url end with a database that the server has (CONFIG GET databases), or none",
    ),
    (
        "max number of clients reached",
        "raise maxclients, or end clients that nobody needs (CLIENT LIST)",
    ),
    (
        "DENIED Redis is running in protected mode",
        "set a password in the server, or let it listen on this machine only",
    ),
];

/// Says why. `user` is who connects.
pub(super) async fn tell(
    url: &SecretString,
    user: &str,
    failure: &Failure,
    findings: &mut Findings,
) {
    let reason = failure.to_string();
    let names_its_remedy =
        reason.contains("client certificate") || reason.contains("our certificate");
    if names_its_remedy || CORRECTABLE.iter().any(|name| reason.ends_with(name)) {
        let (what, remedy) = split(&reason);
        return findings.error(ABOUT, what, advice(remedy));
    }
    if let Some(command) = forbidden(&reason) {
        let line = redis_line(format!("ACL SETUSER {user} +{command}"));
        return findings.error(ABOUT, format!("user {user} may not connect: {reason}"), line);
    }
    if let Some((_, remedy)) = SAID.iter().find(|(words, _)| reason.contains(words)) {
        return findings.error(ABOUT, reason, advice(*remedy));
    }
    if reason.contains("LOADING") {
        let what = format!("is up and not ready: {reason}");
        return findings.add(
            Level::Unreachable,
            ABOUT,
            what,
            Some(advice("wait until it has loaded its data")),
        );
    }
    let (Some((host, port)), Ok(tls)) = (Redis::host(url), Redis::tls(url)) else {
        return findings.add(
            Level::Unreachable,
            ABOUT,
            format!("cannot be reached: {reason}"),
            Some(advice(WHERE)),
        );
    };
    let spoken = speaks::what(&host, port).await;
    let place = format!("{host}:{port}");
    match (spoken, tls.is_some()) {
        (Speaks::Tls, false) => {
            let what = format!("{place} speaks TLS, and redis.url asks for plain text ({reason})");
            findings.error(
                ABOUT,
                what,
                advice("let redis.url begin with rediss://, or correct the port"),
            );
        }
        (Speaks::Redis, true) => {
            let what = format!(
                "{place} does not speak TLS on this port, and redis.url asks for it ({reason})"
            );
            findings.error(
                ABOUT,
                what,
                advice(
                    "correct the port (the server's tls-port), or let redis.url begin with \
                    redis://",
                ),
            );
        }
        (Speaks::Redis | Speaks::Tls, _) => {
            findings.error(ABOUT, reason, advice("see the server's log"));
        }
        (Speaks::Nothing, _) => {
            findings.add(
                Level::Unreachable,
                ABOUT,
                format!("cannot be reached: {reason}"),
                Some(advice(WHERE)),
            );
        }
        (Speaks::Silence, _) => {
            let what = format!("{place} takes connections and does not answer: {reason}");
            let remedy =
                advice("see to the process there: it is frozen, busy for long, or no Redis");
            findings.add(Level::Unreachable, ABOUT, what, Some(remedy));
        }
        (Speaks::Postgres | Speaks::Http | Speaks::Other, _) => {
            let what = format!("{place} is {}, not Redis ({reason})", spoken.name());
            findings.error(ABOUT, what, advice("correct host and port of redis.url"));
        }
    }
}

/// What to do about a refusal: the rule for the command that it names, or else this.
pub(super) fn allow(failure: &Failure, user: &str, otherwise: &str) -> Remedy {
    match forbidden(&failure.to_string()) {
        Some(command) => redis_line(format!("ACL SETUSER {user} +{command}")),
        None => advice(otherwise),
    }
}

/// The command that a refusal names: as one rule, `client|setname` for a subcommand.
pub(super) fn forbidden(reason: &str) -> Option<String> {
    let (_, rest) = reason.split_once("NOPERM")?;
    // Redis 7 has the command in quotes; before, it is not told.
    let (_, quoted) = rest.split_once('\'')?;
    let (name, _) = quoted.split_once('\'')?;
    rest.contains("to run the").then(|| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_is_missing_is_read_out_of_the_refusal() {
        let table = [
            ("NOPERM User relay has no permissions to run the 'ping' command", Some("ping")),
            (
                "x: NOPERM this user has no permissions to run the 'client|setname' command",
                Some("client|setname"),
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                None,
            ),
            ("ERR unknown command 'x'", None),
        ];
        for (reason, expected) in table {
            assert_eq!(forbidden(reason).as_deref(), expected, "{reason}");
        }
    }
}
