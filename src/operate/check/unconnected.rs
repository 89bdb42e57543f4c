//! Why there is no session with Postgres, and what to do: that it cannot be reached is said only if
//! nothing answers there.

use super::finding::{Findings, Level, Remedy, advice, split};
use super::speaks::{self, Speaks};
use outflow_connect::postgres::ConnectError;
use outflow_connect::postgres::Server;

const ABOUT: &str = "postgres";
const WHERE: &str = "check that it runs, and that postgres.url has its host and port";
/// What the server says itself, by SQLSTATE, and whether to wait or to mend.
const SAID: [(&str, Level, &str); 5] = [
    ("[57P03]", Level::Unreachable, "wait until it has started"),
    ("[57P01]", Level::Unreachable, "it is being stopped; start it again"),
    (
        "[53300]",
        Level::Error,
        "raise max_connections (which takes a restart of Postgres), or the role's connection \
            limit, or end sessions that nobody needs",
    ),
    ("[55000]", Level::Error, "allow connections: alter database … allow_connections = true"),
    ("[42501]", Level::Error, "grant connect on the database to the role"),
];

pub(super) async fn tell(server: &Server, error: &ConnectError, findings: &mut Findings) {
    let reason = error.reason();
    let (what, remedy) = split(reason);
    match error {
        ConnectError::ReadOnly(_) | ConnectError::Insecure(_) => {
            findings.error(ABOUT, what, advice(remedy));
        }
        ConnectError::Refused(_) => {
            findings.error(
                ABOUT,
                reason,
                advice("correct postgres.url, or pg_hba.conf on the server"),
            );
        }
        ConnectError::Unreachable(_) => unreachable(server, reason, findings).await,
    }
}

async fn unreachable(server: &Server, reason: &str, findings: &mut Findings) {
    if let Some((_, level, remedy)) = SAID.iter().find(|(code, ..)| reason.contains(code)) {
        return findings.add(*level, ABOUT, reason, Some(advice(*remedy)));
    }
    for (host, port) in server.hosts() {
        let spoken = speaks::what(&host, port).await;
        let (what, remedy): (String, Remedy) = match spoken {
            Speaks::Nothing => continue,
            Speaks::Silence => {
                let remedy =
                    advice("see to the process there: it is frozen, busy for long, or no Postgres");
                let what = format!("{host}:{port} takes connections and does not answer: {reason}");
                return findings.add(Level::Unreachable, ABOUT, what, Some(remedy));
            }
            Speaks::Postgres => (reason.to_owned(), advice("see the server's log")),
            Speaks::Redis | Speaks::Http | Speaks::Tls | Speaks::Other => {
                let what = format!("{host}:{port} is {}, not Postgres ({reason})", spoken.name());
                (what, advice("correct host and port of postgres.url"))
            }
        };
        return findings.error(ABOUT, what, remedy);
    }
    findings.add(
        Level::Unreachable,
        ABOUT,
        format!("cannot be reached: {reason}"),
        Some(advice(WHERE)),
    );
}
