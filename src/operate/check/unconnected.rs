//! Why there is no session with Postgres, and what to do: that it cannot be reached is said only if
//! nothing answers there.

use tokio_postgres::error::SqlState;

use super::finding::{Findings, Remedy, advice};
use super::speaks::{self, Speaks};
use outflow_connect::postgres::Server;
use outflow_core::fault::{Fault, FaultKind};

const ABOUT: &str = "postgres";
const LOG: &str = "see the server's log";

pub(super) async fn tell(server: &Server, fault: &Fault, findings: &mut Findings) {
    match fault.kind() {
        FaultKind::Refused => {
            let remedy = format!("correct {}, or pg_hba.conf on the server", server.key());
            findings.fault(ABOUT, fault, &remedy);
        }
        FaultKind::NotReady => {
            let remedy = advice(remedy(fault).unwrap_or("wait until it has started"));
            findings.wrong(FaultKind::NotReady, ABOUT, fault.to_string(), remedy);
        }
        FaultKind::Unavailable => {
            // A relay waits for this privilege as for a free session.
            let is_forbidden = code(fault) == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
            let kind = if is_forbidden { FaultKind::Refused } else { FaultKind::Unavailable };
            let remedy = advice(remedy(fault).unwrap_or(LOG));
            findings.wrong(kind, ABOUT, fault.to_string(), remedy);
        }
        FaultKind::Unreachable => unreachable(server, &fault.to_string(), findings).await,
        FaultKind::Configuration
        | FaultKind::ReadOnly
        | FaultKind::Insecure
        | FaultKind::Unfit
        | FaultKind::Failed => findings.fault(ABOUT, fault, LOG),
    }
}

fn code(fault: &Fault) -> Option<&SqlState> {
    fault.cause::<tokio_postgres::Error>()?.code()
}

/// What to do about a server that answers and gives no session.
fn remedy(fault: &Fault) -> Option<&'static str> {
    match *code(fault)? {
        SqlState::CANNOT_CONNECT_NOW => Some("wait until it has started"),
        SqlState::ADMIN_SHUTDOWN => Some("it is being stopped; start it again"),
        SqlState::TOO_MANY_CONNECTIONS => Some(
            "raise max_connections (which takes a restart of Postgres), or the role's connection \
                limit, or end sessions that nobody needs",
        ),
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
            Some("allow connections: alter database … allow_connections = true")
        }
        SqlState::INSUFFICIENT_PRIVILEGE => Some("grant connect on the database to the role"),
        _ => None,
    }
}

async fn unreachable(server: &Server, reason: &str, findings: &mut Findings) {
    for (host, port) in server.hosts() {
        let spoken = speaks::what(&host, port).await;
        let (kind, what, remedy): (FaultKind, String, Remedy) = match spoken {
            Speaks::Nothing => continue,
            Speaks::Silence => {
                let remedy =
                    advice("see to the process there: it is frozen, busy for long, or no Postgres");
                let what = format!("{host}:{port} takes connections and does not answer: {reason}");
                return findings.wrong(FaultKind::Unreachable, ABOUT, what, remedy);
            }
            Speaks::Postgres => (FaultKind::Unavailable, reason.to_owned(), advice(LOG)),
            Speaks::Redis | Speaks::Http | Speaks::Tls | Speaks::Other => {
                let what = format!("{host}:{port} is {}, not Postgres ({reason})", spoken.name());
                (
                    FaultKind::Configuration,
                    what,
                    advice(format!("correct host and port of {}", server.key())),
                )
            }
        };
        return findings.wrong(kind, ABOUT, what, remedy);
    }
    let what = format!("cannot be reached: {reason}");
    let remedy = format!("check that it runs, and that {} has its host and port", server.key());
    findings.wrong(FaultKind::Unreachable, ABOUT, what, advice(remedy));
}
