//! Why there is no connection to Redis, and what to do: that it cannot be reached is said only if
//! nothing answers there.

use super::finding::{Findings, Remedy, advice, redis_line};
use super::speaks::{self, Speaks};
use outflow_connect::redis::{CLIENTS, DATABASE, Failure, Server, ServerError};
use outflow_core::fault::{Fault, FaultKind};

const ABOUT: &str = "redis";
const WHERE: &str = "check that it runs, and that redis.url has its host and port";
/// What to do when there is no better advice.
const LOG: &str = "see the server's log";

/// Says why.
pub(super) async fn tell(server: &Server, failure: &Failure, findings: &mut Findings) {
    let user = server.user();
    let fault = Fault::from(failure.clone());
    let error = fault.cause::<ServerError>();
    let reason = fault.to_string();
    // A sentinel refuses a login too, and then redis.url needs another password.
    if fault.to_do().is_some() && !fault.kind().may_pass() {
        return findings.fault(ABOUT, &fault, LOG);
    }
    if let Some(command) = error.and_then(forbidden) {
        let line = redis_line(format!("ACL SETUSER {user} +{command}"));
        return findings.refused(ABOUT, format!("user {user} may not connect: {reason}"), line);
    }
    if let Some(remedy) = error.and_then(remedy) {
        return findings.wrong(fault.kind(), ABOUT, reason, advice(remedy));
    }
    match fault.kind() {
        FaultKind::NotReady => {
            let what = format!("is running but not ready: {reason}");
            let remedy = advice("wait until it has loaded its data");
            findings.wrong(FaultKind::NotReady, ABOUT, what, remedy);
        }
        FaultKind::Unreachable | FaultKind::Unavailable | FaultKind::Failed => {
            unreachable(server, &reason, findings).await;
        }
        FaultKind::Configuration
        | FaultKind::Refused
        | FaultKind::ReadOnly
        | FaultKind::Insecure
        | FaultKind::Unfit => findings.fault(ABOUT, &fault, LOG),
    }
}

/// What to do about an error of Redis that waiting does not help against.
fn remedy(error: &ServerError) -> Option<&'static str> {
    match error.code() {
        "WRONGPASS" => Some("correct the user or the password in redis.url"),
        "NOAUTH" => Some("add the password to redis.url, and the user if it is not default"),
        "DENIED" => Some("set a password in the server, or let it listen on this machine only"),
        _ if error.says(DATABASE) => Some(
            "end redis.url with a database that the server has (CONFIG GET databases), or with \
                none",
        ),
        _ if error.says(CLIENTS) => {
            Some("raise maxclients, or disconnect unneeded clients (CLIENT LIST)")
        }
        _ => None,
    }
}

/// Says what answers there, if anything does.
async fn unreachable(server: &Server, reason: &str, findings: &mut Findings) {
    let nothing = |findings: &mut Findings| {
        let what = format!("cannot be reached: {reason}");
        findings.wrong(FaultKind::Unreachable, ABOUT, what, advice(WHERE));
    };
    let (host, port) = server.host();
    let spoken = speaks::what(host, port).await;
    let place = format!("{host}:{port}");
    match (spoken, server.tls().is_some()) {
        (Speaks::Tls, false) => {
            let what = format!("{place} speaks TLS, but redis.url asks for plain text ({reason})");
            let remedy = advice("change redis.url to begin with rediss://, or correct the port");
            findings.wrong(FaultKind::Configuration, ABOUT, what, remedy);
        }
        (Speaks::Redis, true) => {
            let what = format!(
                "{place} does not speak TLS on this port, but redis.url asks for it ({reason})"
            );
            let remedy = advice(
                "correct the port (the server's tls-port), or change redis.url to begin with \
                    redis://",
            );
            findings.wrong(FaultKind::Configuration, ABOUT, what, remedy);
        }
        (Speaks::Redis | Speaks::Tls, _) => {
            findings.wrong(FaultKind::Unavailable, ABOUT, reason, advice(LOG));
        }
        (Speaks::Nothing, _) => nothing(findings),
        (Speaks::Silence, _) => {
            let what = format!("{place} accepts connections but does not answer: {reason}");
            let remedy = advice("check the process there: it is frozen, busy, or not Redis");
            findings.wrong(FaultKind::Unreachable, ABOUT, what, remedy);
        }
        (Speaks::Postgres | Speaks::Http | Speaks::Other, _) => {
            let what = format!("{place} is {}, not Redis ({reason})", spoken.name());
            let remedy = advice("correct host and port of redis.url");
            findings.wrong(FaultKind::Configuration, ABOUT, what, remedy);
        }
    }
}

/// What to do about a refusal: the rule for the command that it names, or else this.
pub(super) fn allow(failure: &Failure, user: &str, otherwise: &str) -> Remedy {
    let fault = Fault::from(failure.clone());
    match fault.cause::<ServerError>().and_then(forbidden) {
        Some(command) => redis_line(format!("ACL SETUSER {user} +{command}")),
        None => advice(otherwise),
    }
}

/// The command that a refusal names: as one rule, `client|setname` for a subcommand. Redis has it
/// nowhere but in its words.
fn forbidden(error: &ServerError) -> Option<String> {
    if !error.is_forbidden() {
        return None;
    }
    // Redis 7 has the command in quotes; before, it is not told.
    let words = error.to_string();
    let (_, quoted) = words.split_once('\'')?;
    let (name, _) = quoted.split_once('\'')?;
    words.contains("to run the").then(|| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one who refuses may be a sentinel, whose password is another one.
    #[tokio::test]
    async fn a_fault_that_says_what_to_do_is_not_given_other_advice() {
        let url = "redis-sentinel://127.0.0.1:1?service_name=main";
        let server = outflow_connect::redis::server(&url.into()).expect("an address");
        let refused = |place: &str| {
            let refused = Fault::from(Failure::Refused("NOAUTH Authentication required.".into()));
            refused.at(place)
        };
        let table = [
            (refused("sentinel a").remedy("give sentinel_password"), "give sentinel_password"),
            (refused("b"), "add the password to redis.url, and the user if it is not default"),
        ];
        for (fault, expected) in table {
            let mut findings = Findings::default();
            tell(&server, &Failure::NotSent(fault), &mut findings).await;
            let finding = &findings.list()[0];
            assert_eq!(finding.remedy, Some(advice(expected)), "{finding}");
            assert_eq!(finding.kind, Some(FaultKind::Refused), "{finding}");
        }
    }

    #[test]
    fn the_command_that_is_missing_is_read_out_of_the_refusal() {
        let table = [
            ("NOPERM User relay has no permissions to run the 'ping' command", Some("ping")),
            (
                "NOPERM this user has no permissions to run the 'client|setname' command",
                Some("client|setname"),
            ),
            (
                "NOPERM this user has no permissions to access one of the keys used as arguments",
                None,
            ),
            (
                "ERR ACL failure in script: User u has no permissions to run the 'hset' command",
                Some("hset"),
            ),
            ("ERR unknown command 'x'", None),
        ];
        for (reason, expected) in table {
            let refused = Fault::from(Failure::Refused(reason.to_owned()));
            let error = refused.cause::<ServerError>().expect("Redis said it");
            assert_eq!(forbidden(error).as_deref(), expected, "{reason}");
        }
    }
}
