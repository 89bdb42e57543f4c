//! Until when the certificates are valid: the servers', and our own if they ask for one. Nothing
//! can be delivered from the moment on that one has expired. The servers' are looked at every hour.
//! Our own is looked at once: connections are made with what was read at the start or reload, also
//! when the file has been replaced since.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

use crate::config::Config;
use crate::observe::metrics::OutboxMetrics;
use crate::observe::transport::{Route, expiry, until};
use outflow_connect::{postgres, redis};

const PAUSE: Duration = Duration::from_hours(1);
/// While a server with TLS could not be asked.
const PAUSE_UNKNOWN: Duration = Duration::from_mins(1);

/// What a server's certificate told.
struct Seen {
    until: Option<Timestamp>,
    /// It must have one, so that it is asked again soon.
    is_awaited: bool,
}

/// Watches until its task ends. If a server cannot be reached, the last known date stays.
pub async fn watch(config: Arc<Config>, metrics: OutboxMetrics) {
    let ours = [
        ("postgres", both(&config).flat_map(postgres::Server::files).filter_map(own).min()),
        ("redis", config.redis.files().filter_map(own).min()),
    ];
    for (server, until) in ours {
        metrics.certificate_expires(server, "client", until);
        // With these addresses nothing is known yet.
        metrics.certificate_expires(server, "server", None);
    }
    loop {
        let seen =
            [("postgres", of_postgres(&config).await), ("redis", of_redis(&config.redis).await)];
        let mut is_awaited = false;
        for (server, seen) in seen {
            match seen {
                Some(Seen { until: until @ Some(_), .. }) => {
                    metrics.certificate_expires(server, "server", until);
                }
                Some(seen) => is_awaited |= seen.is_awaited,
                None => {}
            }
        }
        tokio::time::sleep(if is_awaited { PAUSE_UNKNOWN } else { PAUSE }).await;
    }
}

/// Of both addresses.
fn both(config: &Config) -> impl Iterator<Item = &postgres::Server> {
    [Some(&config.postgres), config.control.as_ref()].into_iter().flatten()
}

/// The first to expire, if there are several hosts.
async fn of_postgres(config: &Config) -> Option<Seen> {
    let mut seen: Option<Seen> = None;
    for server in both(config).filter(|server| server.mode() != postgres::Mode::Disable) {
        let found = seen.get_or_insert(Seen { until: None, is_awaited: false });
        found.is_awaited |= server.mode() != postgres::Mode::Prefer;
        for (host, port) in server.hosts() {
            let tls = Some(server.tls());
            let one = expiry(&route(&host, port, tls, true, postgres::NAMES)).await;
            found.until = [found.until, one].into_iter().flatten().min();
        }
    }
    seen
}

async fn of_redis(server: &redis::Server) -> Option<Seen> {
    let tls = server.tls()?;
    let (host, port) = server.host();
    let until = expiry(&route(host, port, Some(tls), false, redis::NAMES)).await;
    Some(Seen { until, is_awaited: true })
}

fn route<'a>(
    host: &'a str,
    port: u16,
    tls: Option<&'a rustls::ClientConfig>,
    asks_first: bool,
    names: outflow_connect::tls::Names,
) -> Route<'a> {
    Route {
        about: "certificates",
        host,
        port,
        tls,
        asks_first,
        is_verified: true,
        names,
        remedy: "",
    }
}

/// A file with a certificate that is no authority's is our own.
fn own(file: &Path) -> Option<Timestamp> {
    let first = CertificateDer::pem_file_iter(file).ok()?.next()?.ok()?;
    let certificate = Certificate::from_der(&first).ok()?;
    let constraints = certificate.tbs_certificate.get::<BasicConstraints>().ok().flatten();
    (!constraints.is_some_and(|(_, constraints)| constraints.ca))
        .then(|| until(&certificate))
        .flatten()
}
