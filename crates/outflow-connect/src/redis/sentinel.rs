//! The master that sentinels name: asks all of them, every second, and goes where the newest answer
//! says.
//!
//! A sentinel knows the number of the fail-over that it heard of last (`config-epoch`). Of several
//! answers the one with the highest counts, as it does among themselves: one that was cut off from
//! the others names a master of the past. The sentinels that the address names are asked for ever;
//! where they say that others listen is not used, because from outside of their network that may
//! lead nowhere.
//!
//! When another master is named, the old one is left at once, even if it still answers: what it
//! acknowledges from then on will be thrown away. Commands on their way there are their callers'
//! doubt, as with every connection that is lost; nothing is sent again.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use outflow_core::task;

use super::address::{Address, Kind, SENTINEL_PASSWORD, SERVICE};
use super::endpoint::Endpoint;
use super::node::{Node, PATIENCE, Patience};
use super::{Args, BadUrl, Failure, Reply, ServerError};
use outflow_core::fault::{Fault, FaultKind};

/// How often the sentinels are asked while all is well, and while there is no master.
const ROUND: Duration = Duration::from_secs(1);
const ROUND_WITHOUT_MASTER: Duration = Duration::from_millis(100);
/// How long one answer may take.
const ANSWER: Patience = Patience { timeout: Duration::from_secs(1), ..PATIENCE };

const NO_SENTINEL: &str =
    "let the address begin with redis://, or name sentinels (usually on port 26379)";
const FORBIDDEN: &str = "allow +sentinel|master to its user there";

/// A connection to the master, whichever it is.
pub(super) struct Sentinel {
    /// The master, or why there is none.
    master: watch::Receiver<Result<Node, Failure>>,
    stop: DropGuard,
    _watcher: AbortOnDropHandle<()>,
}

/// Asks the sentinels and connects to whom they name.
struct Watcher {
    address: Address,
    service: String,
    name: String,
    sentinels: Vec<Node>,
    named: Option<Named>,
    master: watch::Sender<Result<Node, Failure>>,
    /// Connections to masters that were replaced.
    closing: JoinSet<()>,
}

/// Whom they named last.
struct Named {
    place: Endpoint,
    node: Node,
    /// It was asked, and is no replica.
    is_master: bool,
}

/// What one of them says.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    epoch: i64,
    place: Endpoint,
}

impl Sentinel {
    /// Starts to ask in the background.
    pub(super) fn new(address: Address, name: &str) -> Result<Self, BadUrl> {
        let Kind::Sentinels(rest) = &address.kind else {
            return Err(BadUrl::because("no address of sentinels"));
        };
        let open = |place: &Endpoint| {
            Node::open(&rest.at(place), address.tls.clone(), &format!("sentinel {place}"), name)
        };
        let sentinels = address.places.iter().map(open).collect::<Result<_, _>>()?;
        let service = rest.service.clone();
        let (tell, master) = watch::channel(Err(not_sent("the sentinels have not answered yet")));
        let stop = CancellationToken::new();
        let watcher = Watcher {
            address,
            service,
            name: name.to_owned(),
            sentinels,
            named: None,
            master: tell,
            closing: JoinSet::new(),
        };
        let watcher = task::owned(watcher.run(stop.clone()));
        Ok(Self { master, stop: stop.drop_guard(), _watcher: watcher })
    }

    /// The master. Its connection may just have been lost.
    pub(super) fn master(&self) -> Result<Node, Failure> {
        self.master.borrow().clone()
    }

    pub(super) async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        let mut master = self.master.clone();
        let connected = async {
            loop {
                let named = master.borrow_and_update().clone();
                let ready = async {
                    match &named {
                        Ok(node) => node.ready(limit).await,
                        Err(_nobody) => std::future::pending().await,
                    }
                };
                tokio::select! {
                    ready = ready => return ready,
                    changed = master.changed() => {
                        if changed.is_err() {
                            return self.master().map(drop);
                        }
                    }
                }
            }
        };
        match timeout(limit, connected).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => self.master().map(drop),
        }
    }

    /// Closes all connections.
    pub(super) async fn close(&self) {
        self.stop.token().cancel();
        let mut master = self.master.clone();
        while master.changed().await.is_ok() {}
    }
}

impl Watcher {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let round = async {
                match self.ask().await {
                    Ok(place) => self.follow(place).await,
                    Err(failure) if self.named.is_none() => self.tell(Err(failure)),
                    // While they are away the master is where it was.
                    Err(failure) => {
                        tracing::debug!(service = self.service, %failure, "no sentinel answers: \
                            retrying");
                    }
                }
                let is_well = self
                    .named
                    .as_ref()
                    .is_some_and(|named| named.is_master && named.node.is_connected());
                tokio::time::sleep(if is_well { ROUND } else { ROUND_WITHOUT_MASTER }).await;
            };
            tokio::select! {
                () = round => {}
                () = stop.cancelled() => break,
            }
        }
        let nodes = self.sentinels.into_iter().chain(self.named.map(|named| named.node));
        join_all(nodes.map(Node::close)).await;
        self.closing.join_all().await;
    }

    /// Where the newest answer says that the master is.
    async fn ask(&self) -> Result<Endpoint, Failure> {
        let answers = join_all(self.sentinels.iter().map(|sentinel| self.answer(sentinel))).await;
        let (answers, failures): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        if let Some(newest) = answers.into_iter().flatten().max_by_key(|answer| answer.epoch) {
            return Ok(newest.place);
        }
        let faults: Vec<Fault> = failures.into_iter().filter_map(Result::err).collect();
        // What can be corrected matters more than who is away.
        let correctable = faults.iter().find(|fault| !fault.kind().may_pass());
        Err(Failure::NotSent(correctable.cloned().unwrap_or_else(|| all(&faults))))
    }

    async fn answer(&self, sentinel: &Node) -> Result<Answer, Fault> {
        let asked = async {
            if sentinel.is_connecting() {
                sentinel.ready(ANSWER.timeout).await?;
            }
            sentinel.send("SENTINEL", Args::from(["MASTER", &self.service]), ANSWER).await
        };
        let place = &sentinel.place;
        match asked.await {
            Ok(reply) => Answer::parse(&reply).ok_or_else(|| {
                Fault::unreachable(format!("{place}: an answer without ip, port and config-epoch"))
            }),
            Err(Failure::NotSent(fault)) => Err(match fault.cause().map(ServerError::code) {
                Some("NOAUTH") => fault.remedy(format!(
                    "give sentinel_username, if there are users, and {SENTINEL_PASSWORD}"
                )),
                _ => fault,
            }),
            Err(Failure::Refused(reason)) => Err(self.refused(place, &reason)),
            Err(Failure::Unknown(reason)) => Err(Fault::unreachable(format!("{place}: {reason}"))),
        }
    }

    /// Of a sentinel, or of a server that is none: both say `ERR` of what they do not know.
    fn refused(&self, place: &str, reason: &str) -> Fault {
        let service = &self.service;
        if reason.starts_with("NOPERM") {
            Fault::new(FaultKind::Refused, format!("{place}: {reason}")).remedy(FORBIDDEN)
        } else if reason.contains("No such master") {
            Fault::new(FaultKind::Refused, format!("{place} knows no master {service:?}"))
                .remedy(format!("correct {SERVICE}"))
        } else if reason.contains("unknown command") {
            Fault::configuration(format!("{place} is no sentinel but a Redis server"))
                .remedy(NO_SENTINEL)
        } else {
            Fault::new(FaultKind::Unavailable, format!("{place}: {reason}"))
        }
    }

    /// Connects to whom they name; it is used as soon as it says itself that it is a master.
    async fn follow(&mut self, place: Endpoint) {
        if let Some(old) = self.named.take_if(|old| old.place != place) {
            tracing::warn!(service = self.service, old = %old.place, new = %place, "the sentinels \
                report a new master: switching to it");
            self.tell(Err(not_sent(format!("{place}: the new master is not connected yet"))));
            // What is on its way there may keep it for a while.
            self.closing.spawn(old.node.close());
        }
        if self.named.is_none() {
            let what = format!("{place}/{}", self.service);
            match Node::open(
                &self.address.at(Some(&place)),
                self.address.tls.clone(),
                &what,
                &self.name,
            ) {
                Ok(node) => self.named = Some(Named { place, node, is_master: false }),
                Err(bad) => return self.tell(Err(Failure::NotSent(bad.into()))),
            }
        }
        let Some(named) = self.named.as_mut().filter(|named| !named.is_master) else { return };
        let outcome = named.role().await;
        named.is_master = outcome.is_ok();
        let told = outcome.map(|()| named.node.clone());
        self.tell(told);
    }

    fn tell(&self, master: Result<Node, Failure>) {
        drop(self.master.send_replace(master));
    }
}

impl Named {
    /// Whether it is a master: one that was just demoted takes reads and no writes.
    async fn role(&self) -> Result<(), Failure> {
        if self.node.is_connecting() {
            self.node.ready(ANSWER.timeout).await?;
        }
        let role = match self.node.send("ROLE", Args::default(), ANSWER).await {
            Ok(reply) => reply.items().first().and_then(Reply::string).unwrap_or_default(),
            // Whoever may not ask is told by the first write.
            Err(Failure::Refused(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if role == "master" {
            return Ok(());
        }
        Err(not_sent(format!(
            "{}: the sentinels name it, but it is a {role}; a fail-over may be under way",
            self.node.place
        )))
    }
}

impl Answer {
    /// Field, value, field, value …
    fn parse(reply: &Reply) -> Option<Self> {
        let field = |name: &str| {
            let pair = reply
                .items()
                .chunks_exact(2)
                .find(|pair| pair[0].text().is_some_and(|text| text == name))?;
            Some(&pair[1])
        };
        let (host, port) = (field("ip")?.string()?, u16::try_from(field("port")?.int()?).ok()?);
        Some(Self { epoch: field("config-epoch")?.int()?, place: Endpoint { host, port } })
    }
}

fn not_sent(reason: impl Into<String>) -> Failure {
    Failure::NotSent(Fault::unreachable(reason))
}

/// That nobody of them answers as he should.
fn all(faults: &[Fault]) -> Fault {
    match faults {
        [one] => one.clone(),
        many => {
            let told: Vec<String> = many.iter().map(ToString::to_string).collect();
            Fault::unreachable(told.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_place_and_its_epoch() {
        let of = |words: &[&str]| {
            Reply::List(words.iter().map(|word| Reply::Text((*word).to_owned().into())).collect())
        };
        let whole = of(&[
            "name",
            "orders",
            "ip",
            "::1",
            "port",
            "6379",
            "flags",
            "master",
            "config-epoch",
            "7",
        ]);
        let place = Endpoint { host: "::1".to_owned(), port: 6379 };
        assert_eq!(Answer::parse(&whole), Some(Answer { epoch: 7, place }));
        let table = [
            of(&[]),
            of(&["ip", "h", "port", "6379"]),
            of(&["ip", "h", "port", "65536", "config-epoch", "7"]),
            Reply::Nil,
        ];
        for reply in &table {
            assert_eq!(Answer::parse(reply), None, "{reply:?}");
        }
    }
}
