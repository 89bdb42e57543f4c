//! Redis as the rest of Outflow sees it: a connection, commands, scripts, replies. The only file
//! that names fred.
//!
//! fred's defaults re-send a command whose connection was lost, wait without limit and queue
//! without limit (`max_command_attempts` 3, no command timeout, an unbounded buffer). Any of these
//! would append an event twice or hide an outage, so each is set here: one attempt, a timeout on
//! everything, a bounded queue. Who calls decides what to do about a command that has no answer;
//! nothing is repeated behind its back.
//!
//! # A cluster
//! is served by connections to single nodes and by `cluster.rs`, which finds the node, not by
//! fred's cluster client. That one (10.1) counts a redirection as an attempt: with one attempt it
//! follows none, with two it also sends again what was lost with a connection. And when it follows
//! an ASK, it takes the next reply on that connection for the one to ASKING, whoever's it is, so
//! that commands on their way there get each other's replies (`router/utils.rs`,
//! `send_asking_with_policy`).
//!
//! # Sentinels
//! are asked by `sentinel.rs`, not by fred's sentinel client. After its first connection that one
//! forgets the sentinels that it was told of in favour of those that they announce (addresses of
//! containers, or of a network inside), and it believes the first that answers
//! (`router/sentinel.rs`, `update_cached_client_state`, `connect_to_sentinel`).

mod address;
mod args;
mod cluster;
mod failure;
mod keys;
mod link;
mod endpoint;
mod replicas;
mod reply;
mod sentinel;
mod topology;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, Resp3Frame};
use fred::types::config::{
    Config, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig, TlsConfig,
    UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand, Value};
use secrecy::SecretString;

use crate::tls;
use address::{Address, Kind};
use cluster::Cluster;
use link::Link;
use outflow_core::words::plain;
use sentinel::Sentinel;
use topology::Topology;

pub use address::{NAMES, files, has_parameter, with_parameter};
pub use args::Args;
pub use failure::{BadUrl, Failure};
pub use keys::slot;
pub use reply::Reply;
pub use sentinel::CORRECTABLE;

/// How long to wait for one TCP connection and its greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command may take before its outcome counts as unknown.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a blocking read may be answered late by a busy server, beyond the time it asked to
/// block.
const BLOCKING_SLACK: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts to connect; fred doubles in between and adds
/// jitter.
const RECONNECT_MS: (u32, u32) = (50, 1_000);
/// Commands that may wait for the connection; one more is refused instead of queued.
const QUEUE_MAX: usize = 64;

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
}

/// A connection to one server.
#[derive(Clone)]
struct Node {
    client: Client,
    place: Arc<str>,
    is_tls: bool,
    link: Arc<Link>,
}

/// What a command may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    timeout: Duration,
    /// It blocks its connection meanwhile.
    blocks: bool,
    /// How many replicas must have what it writes.
    replicas: usize,
}

const PATIENCE: Patience = Patience { timeout: COMMAND_TIMEOUT, blocks: false, replicas: 0 };

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
    /// Starts to connect in the background and returns at once. Until a connection stands, and
    /// whenever it is lost, every call fails with [`Failure::NotSent`].
    ///
    /// `name` is what the log calls it. The server is not told: a user may lack the permission for
    /// that.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be parsed.
    pub fn open(url: &SecretString, name: &str) -> Result<Self, BadUrl> {
        let address = Address::parse(url)?;
        let topology = match address.kind {
            Kind::Server => {
                Topology::Server(Node::open(&address.at(None), address.tls, &Self::place(url), name)?)
            }
            Kind::Cluster => Topology::Cluster(Arc::new(Cluster::new(address, name)?)),
            Kind::Sentinels(_) => Topology::Sentinel(Arc::new(Sentinel::new(address, name)?)),
        };
        Ok(Self { topology, replicas: 0 })
    }

    /// The same connection, on which what a script has written counts only when so many replicas
    /// have it too.
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

impl Node {
    /// Starts to connect to a server; `place` is what messages call it.
    fn open(
        url: &str,
        tls: Option<rustls::ClientConfig>,
        place: &str,
        name: &str,
    ) -> Result<Self, BadUrl> {
        let performance = PerformanceConfig {
            default_command_timeout: COMMAND_TIMEOUT,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_TIMEOUT,
            internal_command_timeout: CONNECT_TIMEOUT,
            max_command_attempts: 1,
            max_redirections: 0,
            max_command_buffer_len: QUEUE_MAX,
            // A user may lack the permission, and fred takes that for a connection that failed.
            auto_client_setname: false,
            // Closes a connection whose peer is silent. Safe only because attempts = 1: fred would
            // re-send otherwise.
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(COMMAND_TIMEOUT + BLOCKING_SLACK),
                interval: Duration::from_secs(1),
            },
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let mut reconnect = ReconnectPolicy::new_exponential(0, RECONNECT_MS.0, RECONNECT_MS.1, 2);
        reconnect.set_jitter(RECONNECT_MS.0);
        let mut config =
            Config::from_url(url).map_err(|_hidden| BadUrl(address::EXPECTED.to_owned()))?;
        config.tls = tls.map(TlsConfig::from);
        let is_tls = config.uses_tls();
        // Otherwise fred gives up for good when the first attempt to connect fails.
        config.fail_fast = false;
        let client = Client::new(config, Some(performance), Some(connection), Some(reconnect));
        tracing::debug!(id = %client.id(), name, "opening a connection to Redis");
        let link = Link::follow(&client);
        client.connect();
        Ok(Self { client, place: place.into(), is_tls, link })
    }

    async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        let connected = async {
            self.client.wait_for_connect().await?;
            self.link.stands().await;
            Ok::<_, fred::error::Error>(())
        };
        match tokio::time::timeout(limit, connected).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.not_sent(error.details())),
            Err(_elapsed) => Err(self.not_connected()),
        }
    }

    fn is_connected(&self) -> bool {
        self.client.is_connected() && !self.link.is_lost()
    }

    /// Whether it is being connected to for the first time, with nothing known against it.
    fn is_connecting(&self) -> bool {
        !self.is_connected() && self.link.last_error().is_none()
    }

    async fn close(self) {
        // An error here says that it was closed already.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.client.quit()).await;
    }

    async fn send(
        &self,
        command: &'static str,
        args: Args,
        patience: Patience,
    ) -> Result<Reply, Failure> {
        // Without this, fred would keep the command and send it after the next connect.
        if !self.is_connected() {
            return Err(self.not_connected());
        }
        let Patience { timeout, blocks, replicas } = patience;
        if replicas > 0 {
            return self.send_and_wait(command, args, patience).await;
        }
        let options = Options {
            max_attempts: Some(1),
            fail_fast: true,
            timeout: Some(timeout),
            ..Options::default()
        };
        let command = CustomCommand::new_static(command, ClusterHash::FirstKey, blocks);
        let frame = self.client.with_options(&options).custom_raw(command, args.0).await;
        frame.map_err(|error| Failure::Unknown(plain(error.details()))).and_then(reply)
    }

    fn not_connected(&self) -> Failure {
        self.not_sent(self.link.last_error().as_deref().unwrap_or("not connected yet"))
    }

    fn not_sent(&self, reason: &str) -> Failure {
        // Redis takes the beginning of TLS for a command, and waits for the end of its line.
        let silent = (self.is_tls && reason.to_lowercase().contains("timed out")).then(|| {
            format!("{reason}; if it is up, it does not speak TLS on this port: correct the port")
        });
        let explained =
            silent.or_else(|| tls::explain(reason, &NAMES)).unwrap_or_else(|| plain(reason));
        Failure::NotSent(format!("{}: {explained}", self.place))
    }
}

fn slot_of(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

/// Turns fred's frame into a reply. An error frame at the top is a refusal; inside an array it
/// becomes its text.
fn reply(frame: Resp3Frame) -> Result<Reply, Failure> {
    Ok(match frame {
        Resp3Frame::SimpleError { data, .. } => return Err(Failure::Refused(data.to_string())),
        Resp3Frame::BlobError { data, .. } => {
            return Err(Failure::Refused(String::from_utf8_lossy(&data).into_owned()));
        }
        Resp3Frame::Null => Reply::Nil,
        Resp3Frame::Number { data, .. } => Reply::Int(data),
        Resp3Frame::Boolean { data, .. } => Reply::Int(i64::from(data)),
        Resp3Frame::BlobString { data, .. }
        | Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::BigNumber { data, .. }
        | Resp3Frame::VerbatimString { data, .. } => Reply::Text(data),
        Resp3Frame::Double { data, .. } => Reply::Text(Bytes::from(data.to_string())),
        Resp3Frame::Array { data, .. } | Resp3Frame::Push { data, .. } => Reply::List(
            data.into_iter()
                .map(|item| reply(item).or_else(inner_error))
                .collect::<Result<_, _>>()?,
        ),
        Resp3Frame::Set { .. }
        | Resp3Frame::Map { .. }
        | Resp3Frame::Hello { .. }
        | Resp3Frame::ChunkedString(_) => {
            return Err(Failure::Unknown("a reply of a kind that RESP2 does not have".to_owned()));
        }
    })
}

fn inner_error(failure: Failure) -> Result<Reply, Failure> {
    match failure {
        Failure::Refused(message) => Ok(Reply::Text(Bytes::from(message))),
        other => Err(other),
    }
}
