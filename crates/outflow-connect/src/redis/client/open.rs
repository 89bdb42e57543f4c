//! How a connection begins: by an address, or as another one beside a connection that there is.

use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::SecretString;

use super::Redis;
use crate::redis::BadUrl;
use crate::redis::address::Kind;
use crate::redis::cluster::Cluster;
use crate::redis::node::Node;
use crate::redis::sentinel::Sentinel;
use crate::redis::server::{Server, server};
use crate::redis::topology::Topology;

impl Redis {
    /// [`server`] and [`Redis::connect`] in one.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used.
    pub fn open(url: &SecretString, name: &str) -> Result<Self, BadUrl> {
        Self::connect(&server(url)?, name)
    }

    /// As [`Redis::open`], with the caller's TLS settings: see [`Server::with_tls`].
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used, or is not one for TLS.
    pub fn open_with_tls(
        url: &SecretString,
        tls: ClientConfig,
        name: &str,
    ) -> Result<Self, BadUrl> {
        Self::connect(&server(url)?.with_tls(tls)?, name)
    }

    /// Another connection to where this one leads, with the same settings.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used.
    pub fn another(&self, name: &str) -> Result<Self, BadUrl> {
        Ok(Self::connect(&self.server, name)?.waiting_for(self.replicas))
    }

    /// Starts to connect in the background and returns at once. Until a connection stands, and
    /// whenever it is lost, every call fails with
    /// [`Failure::NotSent`](crate::redis::Failure::NotSent).
    ///
    /// `name` is what the log calls it. The server is not told: a user may lack the permission for
    /// that.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used.
    pub fn connect(server: &Server, name: &str) -> Result<Self, BadUrl> {
        let address = server.address();
        let topology = match address.kind {
            Kind::Server => {
                let place = address.place();
                Topology::Server(Node::open(&address.at(None), address.tls.clone(), &place, name)?)
            }
            Kind::Cluster => Topology::Cluster(Arc::new(Cluster::new(address.clone(), name)?)),
            Kind::Sentinels(_) => {
                Topology::Sentinel(Arc::new(Sentinel::new(address.clone(), name)?))
            }
        };
        Ok(Self { topology, replicas: 0, server: server.clone() })
    }
}
