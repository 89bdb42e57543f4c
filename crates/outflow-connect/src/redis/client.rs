//! Redis as the rest of Outflow sees it: commands and scripts, wherever they go.

mod open;

use std::fmt;
use std::time::Duration;

use super::node::{BLOCKING_SLACK, PATIENCE, Patience};
use super::topology::Topology;
use super::{Args, Failure, Reply, Server};

/// A connection to Redis that reconnects by itself but never repeats a command.
///
/// Cloning is cheap and shares the connection. A blocking read holds up every other command of its
/// connection, so readers open one of their own. To a cluster it is one connection to each node
/// that is needed; with sentinels, one to each of them and one to the master.
#[derive(Clone)]
pub struct Redis {
    topology: Topology,
    /// How many replicas must have what a script writes.
    replicas: usize,
    /// For [`Redis::another`].
    server: Server,
}

/// A Lua script and the hash that Redis knows it by.
#[derive(Debug, Clone)]
pub struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    /// Prepares a script; nothing is sent yet.
    pub fn new(source: &'static str) -> Self {
        Self { source, sha1: fred::util::sha1_hash(source) }
    }
}

impl Redis {
    /// This connection, but a script counts as done only after `replicas` replicas have its writes.
    #[must_use]
    pub fn waiting_for(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }

    /// Sends one command, once.
    ///
    /// # Errors
    /// See [`Failure`]: only [`Failure::Refused`] and [`Failure::NotSent`] are definite.
    pub async fn call(&self, command: &'static str, args: Args) -> Result<Reply, Failure> {
        self.send(command, args, PATIENCE).await
    }

    /// Sends a command that may block on the server for `block`, which the arguments must say too.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn call_blocking(
        &self,
        command: &'static str,
        args: Args,
        block: Duration,
    ) -> Result<Reply, Failure> {
        self.send(
            command,
            args,
            Patience { timeout: block + BLOCKING_SLACK, blocks: true, ..PATIENCE },
        )
        .await
    }

    /// Runs a script by its hash; a server that does not know it (a restart, SCRIPT FLUSH) is given
    /// the source. Repeating is safe there: NOSCRIPT says that nothing ran.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn script(
        &self,
        script: &Script,
        keys: &[&str],
        args: Args,
    ) -> Result<Reply, Failure> {
        self.script_of(script, keys, |all| all.0.extend_from_slice(&args.0)).await
    }

    /// As [`Redis::script`], for arguments that are cheaper to make again than to copy each time in
    /// case the server does not know the script: `fill` adds them.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn script_of(
        &self,
        script: &Script,
        keys: &[&str],
        fill: impl Fn(&mut Args) + Send,
    ) -> Result<Reply, Failure> {
        let args = |name: &str| {
            let mut args = Args::default();
            args.text(name).int(i64::try_from(keys.len()).unwrap_or(i64::MAX));
            for key in keys {
                args.text(*key);
            }
            fill(&mut args);
            args
        };
        let patience = Patience { replicas: self.replicas, ..PATIENCE };
        match self.send("EVALSHA", args(&script.sha1), patience).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => {
                self.send("EVAL", args(script.source), patience).await
            }
            outcome => outcome,
        }
    }

    async fn send(
        &self,
        command: &'static str,
        args: Args,
        patience: Patience,
    ) -> Result<Reply, Failure> {
        match &self.topology {
            Topology::Server(node) => node.send(command, args, patience).await,
            Topology::Cluster(cluster) => cluster.send(command, args, patience).await,
            Topology::Sentinel(sentinel) => sentinel.master()?.send(command, args, patience).await,
        }
    }
}

// Connecting, and closing.
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
            Topology::Sentinel(sentinel) => {
                sentinel.master().is_ok_and(|master| master.is_connected())
            }
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
            Topology::Cluster(cluster) => Ok(Self {
                topology: Topology::Server(cluster.server_of(key).await?),
                ..self.clone()
            }),
            Topology::Sentinel(sentinel) => {
                Ok(Self { topology: Topology::Server(sentinel.master()?), ..self.clone() })
            }
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
