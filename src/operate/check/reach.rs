//! The way to Postgres: reached, directly or around a pooler, and by both addresses the same
//! database.

use tokio_postgres::Client;

use super::finding::{Findings, advice};
use super::{transport, unconnected};
use crate::config::Config;
use crate::observe::transport::Route;
use outflow_connect::postgres::{self, Mode, Server, connect, together};

const ABOUT: &str = "postgres";

/// The session that everything else is asked in.
pub(super) struct Reached {
    pub(super) server: Server,
    pub(super) client: Client,
    /// No transaction pooler is in between.
    pub(super) is_direct: bool,
}

/// Opens it: at `postgres.control_url`, if there is one.
pub(super) async fn reach(config: &Config, findings: &mut Findings) -> Option<Reached> {
    let (work, in_work) = open(&config.postgres, findings).await?;
    let Some(control) = &config.control else {
        let is_direct = is_direct(&work, &in_work, postgres::UNPOOLED_OR_CONTROL, findings).await;
        return Some(Reached { server: work, client: in_work, is_direct });
    };
    let (server, client) = open(control, findings).await?;
    let is_direct = is_direct(&server, &client, postgres::UNPOOLED, findings).await;
    if is_direct {
        match together((&client, &server), (&in_work, &work)).await {
            Ok(()) => {
                let what = "postgres.url and postgres.control_url lead to the same database";
                findings.ok(ABOUT, what);
            }
            Err(fault) => findings.fault(ABOUT, &fault, "see the server's log"),
        }
    }
    if postgres::shares_sessions(&work, &in_work).await == Ok(false) {
        let what = "postgres.url leads through no transaction pooler, so postgres.control_url is \
            not needed";
        findings.ok(ABOUT, what);
    }
    Some(Reached { server, client, is_direct })
}

async fn open(server: &Server, findings: &mut Findings) -> Option<(Server, Client)> {
    let server = server.named_by_default("outflow check");
    for (host, port) in server.hosts() {
        if !transport::check(&route(&server, &host, port), findings).await {
            return None;
        }
    }
    match connect(&server).await {
        Ok(client) => Some((server, client)),
        Err(error) => {
            unconnected::tell(&server, &error, findings).await;
            None
        }
    }
}

fn route<'a>(server: &'a Server, host: &'a str, port: u16) -> Route<'a> {
    Route {
        about: ABOUT,
        host,
        port,
        tls: (server.mode() != Mode::Disable).then(|| server.tls()),
        asks_first: true,
        is_verified: server.is_verified(),
        names: postgres::NAMES,
        remedy: "set postgres.sslmode to verify-full, and sslrootcert to the file with its \
            authority",
    }
}

/// The control connection (session locks, LISTEN) does not work behind a transaction pooler.
async fn is_direct(
    server: &Server,
    client: &Client,
    remedy: &str,
    findings: &mut Findings,
) -> bool {
    let shared = postgres::shares_sessions(server, client).await;
    let is_direct = shared == Ok(false);
    match shared {
        Ok(false) => findings.ok(ABOUT, "sessions are direct"),
        Ok(true) => {
            let what = format!("{}: {}", server.key(), postgres::POOLED);
            findings.error(ABOUT, what, advice(remedy));
        }
        Err(reason) => findings.warning(
            ABOUT,
            format!("cannot find out whether a transaction pooler is in between: {reason}"),
            advice("the relay needs several sessions at once: in_flight + 4 for each outbox"),
        ),
    }
    is_direct
}
