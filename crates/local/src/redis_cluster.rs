//! A private Redis cluster.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::{Error, Redis, eventually};
use outflow_connect::redis::{self, Args, Failure, Reply};

const SLOTS: usize = 16_384;
/// Covers gossip on a loaded machine.
const AGREE_LIMIT: Duration = Duration::from_mins(1);
const KEYS_MOVED_AT_ONCE: &str = "100";
const MOVE_TIMEOUT_MS: &str = "10000";

/// A cluster of Redis servers that only this machine can reach, without a password: some masters
/// that share the slots evenly, each with the same number of replicas (none, or one).
#[derive(Debug)]
pub struct RedisCluster {
    masters: usize,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    server: Redis,
    client: redis::Redis,
    id: String,
}

impl RedisCluster {
    /// Starts `masters` servers, and a replica for each when `with_replicas`, below `dir`, and
    /// waits until all agree that the cluster is complete. `extra_args` are for every server.
    ///
    /// # Errors
    /// As [`Redis::start`]; [`Error::Failed`] when they do not agree within a minute.
    pub async fn start(
        dir: &Path,
        masters: usize,
        with_replicas: bool,
        extra_args: &[&str],
    ) -> Result<Self, Error> {
        let count = if with_replicas { 2 * masters } else { masters };
        let mut nodes = Vec::with_capacity(count);
        for number in 0..count {
            nodes.push(Node::start(&dir.join(format!("node-{number}")), number, extra_args).await?);
        }
        let cluster = Self { masters, nodes };
        for (number, node) in cluster.nodes.iter().enumerate().take(masters) {
            let (first, last) = (number * SLOTS / masters, (number + 1) * SLOTS / masters - 1);
            node.ask("CLUSTER", &["ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await?;
        }
        for node in &cluster.nodes[1..] {
            let port = node.server.port().to_string();
            cluster.nodes[0].ask("CLUSTER", &["MEET", "127.0.0.1", &port]).await?;
        }
        cluster
            .agree("all nodes to know each other", &format!("cluster_known_nodes:{count}"))
            .await?;
        for number in masters..count {
            let master = &cluster.nodes[number - masters].id;
            // Refused until this node has heard of that one.
            let told = eventually(AGREE_LIMIT, "a replica to find its master", async || {
                cluster.nodes[number].ask("CLUSTER", &["REPLICATE", master]).await.ok()
            });
            told.await.map_err(|_late| cluster.failure("a replica does not find its master"))?;
        }
        cluster.agree("all nodes to find all slots", "cluster_state:ok").await?;
        for number in masters..count {
            let linked = eventually(AGREE_LIMIT, "a replica to be in step", async || {
                let info = cluster.nodes[number].ask("INFO", &["replication"]).await.ok()?;
                info.string().unwrap_or_default().contains("master_link_status:up").then_some(())
            });
            linked.await.map_err(|_late| cluster.failure("a replica is not in step"))?;
        }
        Ok(cluster)
    }

    /// `redis-cluster://127.0.0.1:PORT?node=127.0.0.1:PORT…` with all its masters.
    pub fn url(&self) -> String {
        let places: Vec<String> = self
            .nodes
            .iter()
            .take(self.masters)
            .map(|node| format!("127.0.0.1:{}", node.server.port()))
            .collect();
        format!("redis-cluster://{}?node={}", places[0], places[1..].join("&node="))
    }

    /// The server of one node: the masters come first, then their replicas in the same order.
    pub fn server(&mut self, node: usize) -> &mut Redis {
        &mut self.nodes[node].server
    }

    /// Which node serves a key's slot now, as that node itself says.
    ///
    /// # Errors
    /// [`Error::Failed`] when none does within a minute.
    pub async fn owner(&self, key: &str) -> Result<usize, Error> {
        let found = eventually(AGREE_LIMIT, "a node to have the slot", async || {
            for (number, node) in self.nodes.iter().enumerate() {
                match node.client.call("EXISTS", Args::from([key])).await {
                    Ok(_) => return Some(number),
                    // Moving the slot away, the key with it.
                    Err(failure) if failure.code() == Some("ASK") => return Some(number),
                    Err(_other) => {}
                }
            }
            None
        });
        found.await.map_err(|_late| self.failure("no node has the slot"))
    }

    /// One command, sent to one node as it is.
    ///
    /// # Errors
    /// What the node answered.
    pub async fn ask(
        &self,
        node: usize,
        command: &'static str,
        args: &[&str],
    ) -> Result<Reply, Error> {
        self.nodes[node].ask(command, args).await
    }

    /// Begins to move a key's slot to another master: from here on the old one sends on (ASK)
    /// whoever asks for a key that it does not have. Returns the old one.
    ///
    /// # Errors
    /// What a node answered.
    pub async fn begin_move(&self, key: &str, to: usize) -> Result<usize, Error> {
        let (from, slot) = (self.owner(key).await?, redis::slot(key).to_string());
        self.ask(to, "CLUSTER", &["SETSLOT", &slot, "IMPORTING", &self.nodes[from].id]).await?;
        self.ask(from, "CLUSTER", &["SETSLOT", &slot, "MIGRATING", &self.nodes[to].id]).await?;
        Ok(from)
    }

    /// Moves one key of a slot that is being moved.
    ///
    /// # Errors
    /// What the node answered.
    pub async fn move_key(&self, key: &str, from: usize, to: usize) -> Result<(), Error> {
        let port = self.nodes[to].server.port().to_string();
        self.ask(from, "MIGRATE", &["127.0.0.1", &port, key, "0", MOVE_TIMEOUT_MS]).await.map(drop)
    }

    /// Moves what is left of the slot, and ends the move.
    ///
    /// # Errors
    /// What a node answered.
    pub async fn end_move(&self, key: &str, from: usize, to: usize) -> Result<(), Error> {
        let slot = redis::slot(key).to_string();
        loop {
            let keys =
                self.ask(from, "CLUSTER", &["GETKEYSINSLOT", &slot, KEYS_MOVED_AT_ONCE]).await?;
            if keys.items().is_empty() {
                break;
            }
            for key in keys.items() {
                self.move_key(&key.string().unwrap_or_default(), from, to).await?;
            }
        }
        // The new one first: the other way round nobody would have the slot for a moment.
        for node in [to, from] {
            self.ask(node, "CLUSTER", &["SETSLOT", &slot, "NODE", &self.nodes[to].id]).await?;
        }
        Ok(())
    }

    async fn agree(&self, what: &str, line: &str) -> Result<(), Error> {
        for node in &self.nodes {
            let agreed = eventually(AGREE_LIMIT, what, async || {
                let info = node.ask("CLUSTER", &["INFO"]).await.ok()?;
                info.string().unwrap_or_default().lines().any(|known| known == line).then_some(())
            });
            agreed.await.map_err(|late| node.failure(&late.to_string()))?;
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> Error {
        self.nodes[0].failure(what)
    }
}

impl Node {
    async fn start(dir: &Path, number: usize, extra_args: &[&str]) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(Error::io("creating", dir))?;
        let args =
            [&["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"], extra_args].concat();
        let server = Redis::start(dir, &args).await?;
        let failed = |what: String| Error::Failed { what, log: String::new() };
        let client = redis::Redis::open(&SecretString::from(server.url()), "local cluster");
        let client = client.map_err(|error| failed(error.to_string()))?;
        client.ready(AGREE_LIMIT).await.map_err(|failure| failed(failure.to_string()))?;
        let mut node = Self { server, client, id: String::new() };
        node.id = node.ask("CLUSTER", &["MYID"]).await?.string().unwrap_or_default();
        // Otherwise they all begin with the same one, and settle that among themselves first.
        node.ask("CLUSTER", &["SET-CONFIG-EPOCH", &(number + 1).to_string()]).await?;
        Ok(node)
    }

    async fn ask(&self, command: &'static str, args: &[&str]) -> Result<Reply, Error> {
        let all: Args = args.iter().copied().collect();
        let reply = self.client.call(command, all).await;
        reply.map_err(|failure: Failure| {
            self.failure(&format!("{command} {}: {failure}", args.join(" ")))
        })
    }

    fn failure(&self, what: &str) -> Error {
        Error::Failed { what: what.to_owned(), log: self.server.log() }
    }
}
