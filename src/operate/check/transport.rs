//! Over what a server is reached: plain text or TLS, which version, and until when its certificate
//! is valid. Looked at on a connection of its own, since neither client tells.

use std::time::Duration;

use jiff::Timestamp;

use super::finding::{Findings, advice};
use crate::observe::transport::{LIMIT, Route, Secured, Seen, look};
use outflow_connect::tls::{self};
use outflow_core::words::plain_end;

/// A certificate that is valid for less than this is soon a matter for the night.
const RENEWED_BEFORE: Duration = Duration::from_hours(14 * 24);
/// Tells; `false` when TLS does not come about, so that nothing further need be tried. Who cannot
/// be reached at all is found by others.
pub(super) async fn check(route: &Route<'_>, findings: &mut Findings) -> bool {
    let place = format!("{}:{}", route.host, route.port);
    let seen = match tokio::time::timeout(LIMIT, look(route)).await {
        Ok(Ok(seen)) => seen,
        Ok(Err(error)) => {
            let text = error.to_string();
            let Some(explained) = tls::explain(&text, &route.names) else { return true };
            let what = format!("{place}: {} ({})", explained.what(), plain_end(&text));
            let remedy = advice(explained.to_do().unwrap_or("see the server's log"));
            findings.wrong(explained.kind(), route.about, what, remedy);
            return false;
        }
        Err(_elapsed) => return true,
    };
    tell(route, &place, seen, findings);
    true
}

fn tell(route: &Route<'_>, place: &str, seen: Seen, findings: &mut Findings) {
    let is_near = seen.peer.ip().is_loopback();
    match seen.tls {
        None if is_near => {
            findings.ok(route.about, format!("{place} is reached in plain text, on this machine"));
        }
        None => {
            let what = format!(
                "{place} is reached in plain text, so passwords and events can be read on the way"
            );
            findings.warning(route.about, what, advice(route.remedy));
        }
        Some(secured) => {
            secured.tell(route, place, findings);
            if !route.is_verified && !is_near {
                let what = format!(
                    "{place}: nobody verifies its certificate, so another machine could pose as \
                        the server"
                );
                findings.warning(route.about, what, advice(route.remedy));
            }
        }
    }
}

impl Secured {
    fn tell(&self, route: &Route<'_>, place: &str, findings: &mut Findings) {
        let Self { version, cipher, until } = self;
        let until_text =
            until.map(|until| format!(", certificate valid until {until:.0}")).unwrap_or_default();
        let what = format!("{place} is reached over {version} ({cipher}){until_text}");
        match until {
            Some(until) if *until < Timestamp::now() + RENEWED_BEFORE => {
                findings.warning(route.about, what, advice("renew the server's certificate"));
            }
            _ => findings.ok(route.about, what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    /// Over a network, plain text and a certificate that nobody verifies are warned of; on this
    /// machine they are fine.
    #[test]
    fn what_goes_over_a_network_must_be_safe() {
        let secured = || {
            let until = Some(Timestamp::now() + RENEWED_BEFORE * 2);
            Some(Secured { version: "TLS 1.3".to_owned(), cipher: "AES".to_owned(), until })
        };
        let table = [
            ("127.0.0.1:5432", None, false, Level::Ok, "on this machine"),
            ("10.0.0.1:5432", None, false, Level::Warning, "in plain text"),
            ("[fd00::1]:5432", None, false, Level::Warning, "in plain text"),
            ("127.0.0.1:5432", secured(), false, Level::Ok, "TLS 1.3"),
            ("10.0.0.1:5432", secured(), false, Level::Warning, "nobody verifies"),
            ("10.0.0.1:5432", secured(), true, Level::Ok, "certificate valid until"),
        ];
        for (peer, tls, is_verified, level, words) in table {
            let names = outflow_connect::postgres::NAMES;
            let route = Route {
                about: "postgres",
                host: "db",
                port: 5432,
                tls: None,
                asks_first: true,
                is_verified,
                names,
                remedy: "do this",
            };
            let mut findings = Findings::default();
            tell(
                &route,
                "db:5432",
                Seen { peer: peer.parse().expect("an address"), tls },
                &mut findings,
            );
            assert_eq!(findings.level(), level, "{peer}: {:?}", findings.list());
            assert!(
                findings.list().iter().any(|one| one.what.contains(words)),
                "{peer}: {:?}",
                findings.list()
            );
        }
    }
}
