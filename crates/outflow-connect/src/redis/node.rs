//! A connection to one server, by fred.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, Resp3Frame};
use fred::types::config::{
    Config, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig, TlsConfig,
    UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand};

use super::address::{EXPECTED, NAMES};
use super::link::Link;
use super::{Args, BadUrl, Failure, Reply, ServerError};
use crate::tls;
use outflow_core::fault::{Fault, FaultKind};
use outflow_core::words::plain;

/// How long to wait for one TCP connection and its greeting.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command may take before its outcome counts as unknown.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a blocking read may be answered late by a busy server, beyond the time it asked to
/// block.
pub(super) const BLOCKING_SLACK: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts to connect; fred doubles in between and adds
/// jitter.
pub(super) const RECONNECT_MS: (u32, u32) = (50, 1_000);
/// Commands that may wait for the connection; one more is refused instead of queued.
pub(super) const QUEUE_MAX: usize = 64;

/// A connection to one server.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) client: Client,
    pub(super) place: Arc<str>,
    pub(super) is_tls: bool,
    pub(super) link: Arc<Link>,
}

/// What a command may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) timeout: Duration,
    /// It blocks its connection meanwhile.
    pub(super) blocks: bool,
    /// How many replicas must have what it writes.
    pub(super) replicas: usize,
}

pub(super) const PATIENCE: Patience =
    Patience { timeout: COMMAND_TIMEOUT, blocks: false, replicas: 0 };

impl Node {
    /// Starts to connect to a server; `place` is what messages call it.
    pub(super) fn open(
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
        let mut config = Config::from_url(url).map_err(|_hidden| BadUrl::because(EXPECTED))?;
        config.tls = tls.map(TlsConfig::from);
        let is_tls = config.uses_tls();
        // Otherwise fred gives up for good when the first attempt to connect fails.
        config.fail_fast = false;
        let client = Client::new(config, Some(performance), Some(connection), Some(reconnect));
        tracing::debug!(id = %client.id(), name, "opening a connection to Redis");
        let link = Arc::new(Link::follow(&client));
        client.connect();
        Ok(Self { client, place: place.into(), is_tls, link })
    }

    pub(super) async fn ready(&self, limit: Duration) -> Result<(), Failure> {
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

    pub(super) fn is_connected(&self) -> bool {
        self.client.is_connected() && !self.link.is_lost()
    }

    /// Whether it is being connected to for the first time, with nothing known against it.
    pub(super) fn is_connecting(&self) -> bool {
        !self.is_connected() && self.link.last_error().is_none()
    }

    pub(super) async fn close(self) {
        // An error here says that it was closed already.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.client.quit()).await;
    }

    pub(super) async fn send(
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

    pub(super) fn not_connected(&self) -> Failure {
        self.not_sent(self.link.last_error().as_deref().unwrap_or("not connected yet"))
    }

    pub(super) fn not_sent(&self, reason: &str) -> Failure {
        Failure::NotSent(unconnected(reason, self.is_tls).at(&self.place))
    }
}

/// Why there is no connection, from fred's reason.
fn unconnected(reason: &str, is_tls: bool) -> Fault {
    // Redis takes the beginning of TLS for a command, and waits for the end of its line.
    if is_tls && reason.to_lowercase().contains("timed out") {
        let remedy = "if it is up, it does not speak TLS on this port: correct the port";
        return Fault::unreachable(reason).remedy(remedy);
    }
    if let Some(error) = ServerError::of(reason) {
        // Whatever it says: the server is there, and does not let us in.
        let is_unknown = error.kind() == FaultKind::Failed;
        let kind = if is_unknown { FaultKind::Unavailable } else { error.kind() };
        return Fault::new(kind, reason).because(error);
    }
    tls::explain(reason, &NAMES).unwrap_or_else(|| Fault::unreachable(plain(reason)))
}

/// Turns fred's frame into a reply. An error frame at the top is a refusal; inside an array it
/// becomes its text.
fn reply(frame: Resp3Frame) -> Result<Reply, Failure> {
    Ok(match frame {
        Resp3Frame::SimpleError { data, .. } => return Err(Failure::refused(&data)),
        Resp3Frame::BlobError { data, .. } => {
            return Err(Failure::refused(&String::from_utf8_lossy(&data)));
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
