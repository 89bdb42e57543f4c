//! How a connection begins: by an address, by an address and the caller's TLS settings, or as
//! another one beside a connection that there is.

use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::SecretString;

use super::{Opened, Redis};
use crate::redis::BadUrl;
use crate::redis::address::{Address, Kind};
use crate::redis::cluster::Cluster;
use crate::redis::node::Node;
use crate::redis::sentinel::Sentinel;
use crate::redis::topology::Topology;

impl Redis {
    /// Starts to connect in the background and returns at once. Until a connection stands, and
    /// whenever it is lost, every call fails with
    /// [`Failure::NotSent`](crate::redis::Failure::NotSent).
    ///
    /// `name` is what the log calls it. The server is not told: a user may lack the permission for
    /// that.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be parsed.
    pub fn open(url: &SecretString, name: &str) -> Result<Self, BadUrl> {
        Self::connect(Opened { url: url.clone(), tls: None }, name)
    }

    /// As [`Redis::open`], with the caller's TLS settings in place of those that the address
    /// names. For certificates that do not lie in files, or are verified in another way.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be parsed, or is not one for TLS: a caller with TLS
    /// settings does not want plain text.
    pub fn open_with_tls(
        url: &SecretString,
        tls: ClientConfig,
        name: &str,
    ) -> Result<Self, BadUrl> {
        Self::connect(Opened { url: url.clone(), tls: Some(tls) }, name)
    }

    /// Another connection to where this one leads, with the same settings.
    ///
    /// # Errors
    /// [`BadUrl`] when a file that the address names cannot be read any more.
    pub fn another(&self, name: &str) -> Result<Self, BadUrl> {
        let Opened { url, tls } = &*self.opened;
        let another = Self::connect(Opened { url: url.clone(), tls: tls.clone() }, name)?;
        Ok(another.waiting_for(self.replicas))
    }

    fn connect(opened: Opened, name: &str) -> Result<Self, BadUrl> {
        let mut address = Address::parse(&opened.url)?;
        if let Some(tls) = &opened.tls {
            if address.tls.is_none() {
                return Err(BadUrl::because(
                    "TLS settings are used with rediss://, rediss-cluster:// or \
                        rediss-sentinel:// only",
                ));
            }
            address.tls = Some(tls.clone());
        }
        let topology = match address.kind {
            Kind::Server => {
                let place = Self::place(&opened.url);
                Topology::Server(Node::open(&address.at(None), address.tls, &place, name)?)
            }
            Kind::Cluster => Topology::Cluster(Arc::new(Cluster::new(address, name)?)),
            Kind::Sentinels(_) => Topology::Sentinel(Arc::new(Sentinel::new(address, name)?)),
        };
        Ok(Self { topology, replicas: 0, opened: Arc::new(opened) })
    }
}
