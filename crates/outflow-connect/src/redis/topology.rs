//! What a connection leads to: one server, a cluster, or the master that sentinels name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::Cluster;
use super::sentinel::Sentinel;
use super::{Failure, Node, Redis};

#[derive(Clone)]
pub(super) enum Topology {
    Server(Node),
    Cluster(Arc<Cluster>),
    Sentinel(Arc<Sentinel>),
}

impl Redis {
    /// Waits until the connection stands, at most `limit`; to a cluster, one to any of its nodes.
    ///
    /// # Errors
    /// [`Failure::NotSent`] with the last reason for which connecting failed.
    pub async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        match &self.topology {
            Topology::Server(node) => node.ready(limit).await,
            Topology::Cluster(cluster) => cluster.ready(limit).await,
            Topology::Sentinel(sentinel) => sentinel.ready(limit).await,
        }
    }

    /// Whether a connection stands.
    pub fn is_connected(&self) -> bool {
        match &self.topology {
            Topology::Server(node) => node.is_connected(),
            Topology::Cluster(cluster) => cluster.is_connected(),
            Topology::Sentinel(sentinel) => sentinel.master().is_ok_and(|master| master.is_connected()),
        }
    }

    /// Whether the keys of one command must be in one slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }

    /// The server that has this key, for commands that name none, such as INFO or SCAN.
    ///
    /// # Errors
    /// As [`Redis::call`]; a cluster is asked by `CLUSTER SLOTS`.
    pub async fn server_of(&self, key: &str) -> Result<Self, Failure> {
        match &self.topology {
            Topology::Server(_) => Ok(self.clone()),
            Topology::Cluster(cluster) => {
                Ok(Self { topology: Topology::Server(cluster.server_of(key).await?), ..*self })
            }
            Topology::Sentinel(sentinel) => Ok(Self { topology: Topology::Server(sentinel.master()?), ..*self }),
        }
    }

    /// Closes the connection.
    pub async fn close(self) {
        match self.topology {
            Topology::Server(node) => node.close().await,
            Topology::Cluster(cluster) => cluster.close().await,
            Topology::Sentinel(sentinel) => sentinel.close().await,
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("connected", &self.is_connected()).finish_non_exhaustive()
    }
}
