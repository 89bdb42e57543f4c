//! What a connection leads to: one server, a cluster, or the master that sentinels name.

use std::sync::Arc;

use super::cluster::Cluster;
use super::node::Node;
use super::sentinel::Sentinel;

#[derive(Clone)]
pub(super) enum Topology {
    Server(Node),
    Cluster(Arc<Cluster>),
    Sentinel(Arc<Sentinel>),
}
