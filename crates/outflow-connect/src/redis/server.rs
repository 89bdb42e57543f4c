//! Where Redis is and how it is reached: an address that was parsed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::{ExposeSecret as _, SecretString};

use super::BadUrl;
use super::address::{Address, Kind};

/// Where Redis is and how it is reached: one server, a cluster, or the master that sentinels name,
/// with user and TLS. Certificates were read when it was made. Cloning is cheap.
#[derive(Clone)]
pub struct Server(Arc<Parsed>);

struct Parsed {
    url: SecretString,
    address: Address,
}

/// Parses an address: `redis://`, `redis-cluster://` or `redis-sentinel://`, and with `rediss` in
/// place of `redis` for TLS, which then verifies authority and host name.
///
/// # Errors
/// [`BadUrl`] says what is wrong, without repeating the address.
pub fn server(url: &SecretString) -> Result<Server, BadUrl> {
    let address = Address::parse(url)?;
    Ok(Server(Arc::new(Parsed { url: url.clone(), address })))
}

impl Server {
    /// This server, reached with the caller's TLS settings in place of those that the address
    /// names. For certificates that do not lie in files, or are verified in another way.
    ///
    /// # Errors
    /// [`BadUrl`] when the address is not one for TLS: a caller with TLS settings does not want
    /// plain text.
    pub fn with_tls(&self, tls: ClientConfig) -> Result<Self, BadUrl> {
        let Parsed { url, address } = &*self.0;
        if address.tls.is_none() {
            return Err(BadUrl::because(
                "TLS settings are used with rediss://, rediss-cluster:// or rediss-sentinel:// \
                    only",
            ));
        }
        let mut address = address.clone();
        address.tls = Some(tls);
        Ok(Self(Arc::new(Parsed { url: url.clone(), address })))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// Where it is, without user and password: `host:port/database`; `host:port/cluster` with the
    /// first node that the address names, `host:port/service/database` with the first sentinel.
    pub fn place(&self) -> String {
        self.address().place()
    }

    /// Host and port; for a cluster those of the first node that the address names, for sentinels
    /// those of the first of them.
    pub fn host(&self) -> (&str, u16) {
        let first = &self.address().places[0];
        (&first.host, first.port)
    }

    /// The user that connects, which is no secret.
    pub fn user(&self) -> &str {
        self.address().user()
    }

    /// Whether it is a cluster.
    pub fn is_cluster(&self) -> bool {
        matches!(self.address().kind, Kind::Cluster)
    }

    /// What connections are made with; `None` for plain text.
    pub fn tls(&self) -> Option<&ClientConfig> {
        self.address().tls.as_ref()
    }

    /// The files with certificates that the address names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.address().files.paths()
    }

    /// Whether both were given by the same address. What its files held may differ.
    pub fn has_address_of(&self, other: &Self) -> bool {
        self.0.url.expose_secret() == other.0.url.expose_secret()
    }

    /// Whether connections to both are made in the same way: address, password, certificates.
    pub fn connects_like(&self, other: &Self) -> bool {
        self.has_address_of(other) && self.address().files == other.address().files
    }
}

/// The address may hold a password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("place", &self.place())
            .field("tls", &self.tls().is_some())
            .finish_non_exhaustive()
    }
}
