//! Until when the certificates are valid: the servers', and our own if they ask for one. Looked at every hour, because
//! nothing can be delivered from the moment on that one has expired.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

use crate::check::transport::{Route, expiry};
use crate::config::Config;
use crate::metrics::OutboxMetrics;
use crate::{postgres, redis};

const PAUSE: Duration = Duration::from_hours(1);

/// Looks for ever; ends with its task. A server that cannot be reached keeps the date that is known.
pub async fn watch(config: Arc<Config>, metrics: OutboxMetrics) {
    loop {
        for (server, until) in [("postgres", of_postgres(&config).await), ("redis", of_redis(&config).await)] {
            metrics.certificate_expires(server, "server", until);
        }
        let ours = [("postgres", postgres::files(&config.postgres)), ("redis", redis::files(&config.redis))];
        for (server, files) in ours {
            metrics.certificate_expires(server, "client", files.iter().filter_map(own).min());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The first to expire, if there are several hosts.
async fn of_postgres(config: &Config) -> Option<Timestamp> {
    let server = postgres::server(&config.postgres, "outflow").ok()?;
    let mut first = None;
    for (host, port) in server.hosts() {
        let tls = (server.mode() != postgres::Mode::Disable).then(|| server.tls());
        let until = expiry(&route(&host, port, tls, true, postgres::NAMES)).await;
        first = [first, until].into_iter().flatten().min();
    }
    first
}

async fn of_redis(config: &Config) -> Option<Timestamp> {
    let tls = redis::Redis::tls(&config.redis).ok()?;
    let (host, port) = redis::Redis::host(&config.redis)?;
    expiry(&route(&host, port, tls.as_ref(), false, redis::NAMES)).await
}

fn route<'a>(
    host: &'a str,
    port: u16,
    tls: Option<&'a rustls::ClientConfig>,
    asks_first: bool,
    names: crate::tls::Names,
) -> Route<'a> {
    Route { about: "certificates", host, port, tls, asks_first, is_verified: true, names, remedy: "" }
}

/// A file with a certificate that is no authority's is our own.
fn own(file: &PathBuf) -> Option<Timestamp> {
    let first = CertificateDer::pem_file_iter(Path::new(file)).ok()?.next()?.ok()?;
    let certificate = Certificate::from_der(&first).ok()?;
    let constraints = certificate.tbs_certificate.get::<BasicConstraints>().ok().flatten();
    (!constraints.is_some_and(|(_, constraints)| constraints.ca)).then(|| until(&certificate)).flatten()
}

/// The last moment at which a certificate is valid.
pub(crate) fn until(certificate: &Certificate) -> Option<Timestamp> {
    let seconds = certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}
