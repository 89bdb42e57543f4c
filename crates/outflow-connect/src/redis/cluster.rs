//! A Redis cluster: finds the node that has a command's slot by asking, and follows where it is
//! sent.
//!
//! The first command of a slot goes to any node. One that does not have the slot says which one
//! does (MOVED), and that is remembered; while a slot is on its way to another node, its old one
//! sends on what it no longer has (ASK). Either is an error reply in place of an execution, so that
//! sending the command again there carries it out once. Nothing else is ever sent again: a command
//! without an answer is its caller's doubt, here as on a single server.
//!
//! No table of slots is kept up to date behind the scenes: a node that fails is forgotten for the
//! slot, the next command asks another one, and learns of a failover by the same MOVED as of
//! everything else.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::select_ok;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Mutex as AsyncMutex;

use super::address::Address;
use super::endpoint::Endpoint;
use super::keys::{self, slot_of_command};
use super::node::{CONNECT_TIMEOUT, Node, PATIENCE, Patience};
use super::{Args, BadUrl, Failure, Reply};

/// How often one command is sent on: more than a cluster that knows what it is doing ever needs.
const REDIRECTIONS_MAX: usize = 5;

/// The nodes of a cluster, as far as they were needed.
pub(super) struct Cluster {
    address: Address,
    name: String,
    known: Mutex<Known>,
    /// Connections for commands that were sent on by ASK. One at a time: ASKING holds for whatever
    /// comes next.
    asking: AsyncMutex<HashMap<Endpoint, Node>>,
}

#[derive(Default)]
struct Known {
    nodes: HashMap<Endpoint, Node>,
    owners: HashMap<u16, Endpoint>,
    /// Who failed last. A frozen node looks connected.
    suspect: Option<Endpoint>,
}

/// Where a command is to be sent instead.
#[derive(Debug, PartialEq, Eq)]
enum Redirection {
    /// The slot is there.
    Moved(Endpoint),
    /// The slot is on its way there, and so was the key: only this command, behind ASKING.
    Ask(Endpoint),
}

impl Cluster {
    /// Starts to connect to the nodes that the address names.
    pub(super) fn new(address: Address, name: &str) -> Result<Self, BadUrl> {
        let cluster = Self {
            address,
            name: name.to_owned(),
            known: Mutex::default(),
            asking: AsyncMutex::default(),
        };
        for place in &cluster.address.places {
            let node = cluster.open(place)?;
            cluster.known().nodes.insert(place.clone(), node);
        }
        Ok(cluster)
    }

    pub(super) async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        if self.is_connected() {
            return Ok(());
        }
        let nodes: Vec<Node> = self.known().nodes.values().cloned().collect();
        let connecting = nodes.iter().map(|node| Box::pin(node.ready(limit)));
        select_ok(connecting).await.map(|((), _others)| ())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.known().nodes.values().any(Node::is_connected)
    }

    /// Sends a command to the node that has its slot. It is carried out once at most: see the top
    /// of this file.
    pub(super) async fn send(
        &self,
        command: &'static str,
        args: Args,
        patience: Patience,
    ) -> Result<Reply, Failure> {
        let slot = slot_of_command(command, &args);
        let mut to = Redirection::Moved(self.owner(slot));
        for _ in 0..REDIRECTIONS_MAX {
            let (place, outcome) = match to {
                Redirection::Moved(place) => {
                    let outcome = self.send_to(&place, command, args.clone(), patience).await;
                    (place, outcome)
                }
                Redirection::Ask(place) => {
                    let outcome = self.ask(&place, command, args.clone(), patience).await;
                    (place, outcome)
                }
            };
            to = match (&outcome, slot) {
                (Err(Failure::Refused(message)), Some(slot)) => {
                    match Redirection::parse(message, &place) {
                        Some(Redirection::Moved(owner)) => {
                            self.known().owners.insert(slot, owner.clone());
                            Redirection::Moved(owner)
                        }
                        Some(ask) => ask,
                        None => return outcome,
                    }
                }
                (Err(Failure::NotSent(_) | Failure::Unknown(_)), _) => {
                    self.doubt(slot, &place).await;
                    return outcome;
                }
                (Ok(_), _) | (Err(Failure::Refused(_)), None) => return outcome,
            };
        }
        // As Redis says that of itself: nothing was done, and later it may be.
        Err(Failure::Refused(
            "TRYAGAIN the nodes of the cluster do not agree on who has the slot".to_owned(),
        ))
    }

    /// A connection to the node that has this key's slot.
    pub(super) async fn server_of(&self, key: &str) -> Result<Node, Failure> {
        let asked = self.owner(None);
        let slots = self.send_to(&asked, "CLUSTER", Args::from(["SLOTS"]), PATIENCE).await?;
        let wanted = i64::from(keys::slot(key));
        let owner = slots.items().iter().find_map(|range| {
            let [first, last, master, ..] = range.items() else { return None };
            let [host, port, ..] = master.items() else { return None };
            let host = host.string().unwrap_or_default();
            let is_it = first.int()? <= wanted && wanted <= last.int()?;
            is_it
                .then(|| Endpoint::parse(&format!("{host}:{}", port.int()?), &asked.host))
                .flatten()
        });
        let owner = owner
            .ok_or_else(|| Failure::Refused(format!("CLUSTERDOWN no node has slot {wanted}")))?;
        let node = self.node(&owner)?;
        node.ready(CONNECT_TIMEOUT).await?;
        Ok(node)
    }

    pub(super) async fn close(&self) {
        let nodes: Vec<Node> = self.known().nodes.drain().map(|(_, node)| node).collect();
        let asking: Vec<Node> = self.asking.lock().await.drain().map(|(_, node)| node).collect();
        futures_util::future::join_all(nodes.into_iter().chain(asking).map(Node::close)).await;
    }

    async fn send_to(
        &self,
        place: &Endpoint,
        command: &'static str,
        args: Args,
        patience: Patience,
    ) -> Result<Reply, Failure> {
        let node = self.node(place)?;
        if node.is_connecting() {
            node.ready(CONNECT_TIMEOUT).await?;
        }
        node.send(command, args, patience).await
    }

    async fn ask(
        &self,
        place: &Endpoint,
        command: &'static str,
        args: Args,
        patience: Patience,
    ) -> Result<Reply, Failure> {
        let mut asking = self.asking.lock().await;
        if !asking.contains_key(place) {
            let node = self.open(place).map_err(|bad| Failure::NotSent(bad.into()))?;
            asking.insert(place.clone(), node);
        }
        let node = &asking[place];
        if !node.is_connected() {
            node.ready(CONNECT_TIMEOUT).await?;
        }
        // Only the command itself can leave a doubt. Should the connection be a new one by then,
        // the node answers MOVED.
        node.send("ASKING", Args::default(), PATIENCE)
            .await
            .map_err(|failure| Failure::NotSent(failure.into()))?;
        node.send(command, args, patience).await
    }

    /// The node to try first: the slot's owner, else any, better one with a connection that has not
    /// just failed.
    fn owner(&self, slot: Option<u16>) -> Endpoint {
        let known = self.known();
        if let Some(owner) = slot.and_then(|slot| known.owners.get(&slot)) {
            return owner.clone();
        }
        let connected =
            known.nodes.iter().filter(|(_, node)| node.is_connected()).map(|(place, _)| place);
        let best = connected.min_by_key(|place| known.suspect.as_ref() == Some(place));
        best.unwrap_or(&self.address.places[0]).clone()
    }

    /// A node did not answer: the next command of the slot asks another one. If nothing needs it
    /// any more, its connection is closed: nodes come back under other addresses.
    async fn doubt(&self, slot: Option<u16>, place: &Endpoint) {
        let gone = {
            let mut known = self.known();
            if let Some(slot) = slot
                && known.owners.get(&slot) == Some(place)
            {
                known.owners.remove(&slot);
            }
            known.suspect = Some(place.clone());
            let is_needed = self.address.places.contains(place)
                || known.owners.values().any(|owner| owner == place);
            let is_down = known.nodes.get(place).is_some_and(|node| !node.is_connected());
            (is_down && !is_needed).then(|| known.nodes.remove(place)).flatten()
        };
        if let Some(node) = gone {
            node.close().await;
        }
    }

    fn node(&self, place: &Endpoint) -> Result<Node, Failure> {
        if let Some(node) = self.known().nodes.get(place) {
            return Ok(node.clone());
        }
        let node = self.open(place).map_err(|bad| Failure::NotSent(bad.into()))?;
        Ok(self.known().nodes.entry(place.clone()).or_insert(node).clone())
    }

    fn open(&self, place: &Endpoint) -> Result<Node, BadUrl> {
        Node::open(
            &self.address.at(Some(place)),
            self.address.tls.clone(),
            &place.to_string(),
            &self.name,
        )
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}

impl Redirection {
    /// `MOVED 3999 host:port` or `ASK 3999 host:port`, as `from` says it.
    fn parse(message: &str, from: &Endpoint) -> Option<Self> {
        let mut words = message.split_whitespace();
        let kind = words.next()?;
        let _slot = words.next()?;
        let place = words.next()?;
        let place = Endpoint::parse(place, &from.host)?;
        match kind {
            "MOVED" => Some(Self::Moved(place)),
            "ASK" => Some(Self::Ask(place)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_told_from_other_refusals() {
        let from = Endpoint { host: "own".to_owned(), port: 1 };
        let place = |host: &str| Endpoint { host: host.to_owned(), port: 7001 };
        let table = [
            ("MOVED 3999 10.0.0.2:7001", Some(Redirection::Moved(place("10.0.0.2")))),
            ("ASK 3999 node-2:7001", Some(Redirection::Ask(place("node-2")))),
            ("MOVED 3999 :7001", Some(Redirection::Moved(place("own")))),
            ("CROSSSLOT Keys in request don't hash to the same slot", None),
            ("TRYAGAIN Multiple keys request during rehashing of slot", None),
            ("MOVED", None),
        ];
        for (message, expected) in &table {
            assert_eq!(&Redirection::parse(message, &from), expected, "{message}");
        }
    }
}
