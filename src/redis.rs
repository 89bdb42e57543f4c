//! Redis as the rest of Outflow sees it: a connection, commands, scripts, replies. The only file that names fred.
//!
//! fred's defaults re-send a command whose connection was lost, wait without limit and queue without limit
//! (`max_command_attempts` 3, no command timeout, an unbounded buffer). Any of these would append an event twice or
//! hide an outage, so each is set here: one attempt, a timeout on everything, a bounded queue. Who calls decides what
//! to do about a command that has no answer; nothing is repeated behind its back.

mod address;
mod reply;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, Resp3Frame};
use fred::types::config::{
    Config, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig, TlsConfig, UnresponsiveConfig,
};
use fred::types::{ClusterHash, CustomCommand, Value};
use secrecy::SecretString;

use crate::tls;
use address::Address;

pub use address::{NAMES, files, with_parameter};
pub use reply::Reply;

/// How long to wait for one TCP connection and its greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a command may take before its outcome counts as unknown.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a blocking read may be answered late by a busy server, beyond the time it asked to block.
const BLOCKING_SLACK: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts to connect; fred doubles in between and adds jitter.
const RECONNECT_MS: (u32, u32) = (50, 1_000);
/// Commands that may wait for the connection; one more is refused instead of queued.
const QUEUE_MAX: usize = 64;

/// A connection to Redis that reconnects by itself but never repeats a command.
///
/// Cloning is cheap and shares the connection. A blocking read holds up every other command of its connection, so
/// readers open one of their own.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    place: Arc<str>,
    is_tls: bool,
    last_error: Arc<Mutex<Option<String>>>,
}

/// Why a command has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Redis answered with an error: a definite outcome, nothing of the command was done unless it says so itself.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// There was no connection to send it on: nothing was done.
    #[error("no connection to Redis: {0}")]
    NotSent(String),
    /// It may have been done, or not, or it may still be done later: a timeout or a connection lost in between.
    #[error("no answer from Redis: {0}")]
    Unknown(String),
}

impl Failure {
    /// The error code of a refusal (`WRONGTYPE`, `OOM`, `BUSYGROUP` …), which is its first word.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(message) => message.split_whitespace().next(),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }
}

/// The arguments of a command, in order. Strings of bytes are shared, not copied.
#[derive(Debug, Default, Clone)]
pub struct Args(Vec<Value>);

impl Args {
    /// No arguments yet, with room for `count`.
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds bytes without copying them.
    pub fn push(&mut self, bytes: Bytes) -> &mut Self {
        self.0.push(Value::Bytes(bytes));
        self
    }

    /// Adds a text.
    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.push(Bytes::from(text.into()))
    }

    /// Adds a text that lives as long as the program, without copying it.
    pub fn word(&mut self, text: &'static str) -> &mut Self {
        self.push(Bytes::from_static(text.as_bytes()))
    }

    /// Adds an integer in decimal digits.
    pub fn int(&mut self, number: impl Into<i64>) -> &mut Self {
        self.0.push(Value::Integer(number.into()));
        self
    }

    /// Makes room for `count` more.
    pub fn reserve(&mut self, count: usize) -> &mut Self {
        self.0.reserve(count);
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[&str; N]> for Args {
    fn from(words: [&str; N]) -> Self {
        let mut args = Self::with_capacity(N);
        for word in words {
            args.text(word);
        }
        args
    }
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

/// An address that cannot be used, with what is expected. Holds no part of the address: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(String);

impl Redis {
    /// Checks an address without connecting.
    ///
    /// # Errors
    /// [`BadUrl`] says what is wrong with it, without repeating it.
    pub fn check_url(url: &SecretString) -> Result<(), BadUrl> {
        config_of(url).map(drop)
    }

    /// Where an address leads, without user and password: `host:port/database`.
    pub fn place(url: &SecretString) -> String {
        let Some((host, port)) = address::host(url) else { return String::new() };
        let database = address::database(url);
        if host.contains(':') { format!("[{host}]:{port}/{database}") } else { format!("{host}:{port}/{database}") }
    }

    /// Host and port of an address.
    pub fn host(url: &SecretString) -> Option<(String, u16)> {
        address::host(url)
    }

    /// What connections to an address are made with; `None` for plain text.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used.
    pub(crate) fn tls(url: &SecretString) -> Result<Option<rustls::ClientConfig>, BadUrl> {
        Address::parse(url).map(|address| address.tls)
    }

    /// Starts to connect in the background and returns at once. Until a connection stands, and whenever it is lost,
    /// every call fails with [`Failure::NotSent`].
    ///
    /// `name` is what `CLIENT LIST` shows.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be parsed.
    pub fn open(url: &SecretString, name: &str) -> Result<Self, BadUrl> {
        let performance =
            PerformanceConfig { default_command_timeout: COMMAND_TIMEOUT, ..PerformanceConfig::default() };
        let connection = ConnectionConfig {
            connection_timeout: CONNECT_TIMEOUT,
            internal_command_timeout: CONNECT_TIMEOUT,
            max_command_attempts: 1,
            max_redirections: 0,
            max_command_buffer_len: QUEUE_MAX,
            auto_client_setname: true,
            // Closes a connection whose peer is silent. Safe only because attempts = 1: fred would re-send otherwise.
            unresponsive: UnresponsiveConfig {
                max_timeout: Some(COMMAND_TIMEOUT + BLOCKING_SLACK),
                interval: Duration::from_secs(1),
            },
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let mut reconnect = ReconnectPolicy::new_exponential(0, RECONNECT_MS.0, RECONNECT_MS.1, 2);
        reconnect.set_jitter(RECONNECT_MS.0);
        let mut config = config_of(url)?;
        let is_tls = config.uses_tls();
        // Otherwise fred gives up for good when the first attempt to connect fails.
        config.fail_fast = false;
        let client = Client::new(config, Some(performance), Some(connection), Some(reconnect));
        // fred uses a client's id as its name in `CLIENT LIST`.
        tracing::debug!(id = %client.id(), name, "opening a connection to Redis");
        let last_error = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&last_error);
        client.on_error(move |(error, _server)| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.details().to_owned());
            std::future::ready(Ok(()))
        });
        client.connect();
        Ok(Self { client, place: Self::place(url).into(), is_tls, last_error })
    }

    /// Waits until the connection stands, at most `limit`.
    ///
    /// # Errors
    /// [`Failure::NotSent`] with the last reason for which connecting failed.
    pub async fn ready(&self, limit: Duration) -> Result<(), Failure> {
        match tokio::time::timeout(limit, self.client.wait_for_connect()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.not_sent(error.details())),
            Err(_elapsed) => Err(self.not_connected()),
        }
    }

    /// Whether a connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Sends one command, once.
    ///
    /// # Errors
    /// See [`Failure`]: only [`Failure::Refused`] and [`Failure::NotSent`] are definite.
    pub async fn call(&self, command: &'static str, args: Args) -> Result<Reply, Failure> {
        self.send(CustomCommand::new_static(command, ClusterHash::FirstKey, false), args, COMMAND_TIMEOUT).await
    }

    /// Sends a command that may block on the server for `block`, which the arguments must say too.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn call_blocking(&self, command: &'static str, args: Args, block: Duration) -> Result<Reply, Failure> {
        self.send(CustomCommand::new_static(command, ClusterHash::FirstKey, true), args, block + BLOCKING_SLACK).await
    }

    /// Runs a script by its hash; a server that does not know it (a restart, SCRIPT FLUSH) is given the source.
    /// Repeating is safe there: NOSCRIPT says that nothing ran.
    ///
    /// # Errors
    /// As [`Redis::call`].
    pub async fn script(&self, script: &Script, keys: &[&str], args: Args) -> Result<Reply, Failure> {
        self.script_of(script, keys, |all| all.0.extend_from_slice(&args.0)).await
    }

    /// As [`Redis::script`], for arguments that are cheaper to make again than to copy each time in case the server
    /// does not know the script: `fill` adds them.
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
        match self.call("EVALSHA", args(&script.sha1)).await {
            Err(failure) if failure.code() == Some("NOSCRIPT") => self.call("EVAL", args(script.source)).await,
            outcome => outcome,
        }
    }

    /// Closes the connection.
    pub async fn close(self) {
        // An error here says that it was closed already.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.client.quit()).await;
    }

    async fn send(&self, command: CustomCommand, args: Args, timeout: Duration) -> Result<Reply, Failure> {
        // Without this, fred would keep the command and send it after the next connect.
        if !self.client.is_connected() {
            return Err(self.not_connected());
        }
        let options = Options { max_attempts: Some(1), fail_fast: true, timeout: Some(timeout), ..Options::default() };
        let frame = self.client.with_options(&options).custom_raw(command, args.0).await;
        frame.map_err(|error| Failure::Unknown(error.details().to_owned())).and_then(reply)
    }

    fn not_connected(&self) -> Failure {
        let seen = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.not_sent(seen.as_deref().unwrap_or("not connected yet"))
    }

    fn not_sent(&self, reason: &str) -> Failure {
        // Redis takes the beginning of TLS for a command, and waits for the end of its line.
        let silent = (self.is_tls && reason.contains("timed out"))
            .then(|| format!("{reason}; if it is up, it does not speak TLS on this port: correct the port"));
        let explained = silent.or_else(|| tls::explain(reason, &NAMES));
        Failure::NotSent(format!("{}: {}", self.place, explained.as_deref().unwrap_or(reason)))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("connected", &self.client.is_connected()).finish_non_exhaustive()
    }
}

fn config_of(url: &SecretString) -> Result<Config, BadUrl> {
    let Address { rest, tls } = Address::parse(url)?;
    let mut config = Config::from_url(&rest).map_err(|_hidden| BadUrl(address::EXPECTED.to_owned()))?;
    config.tls = tls.map(TlsConfig::from);
    Ok(config)
}

/// Turns fred's frame into a reply. An error frame at the top is a refusal; inside an array it becomes its text.
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
        Resp3Frame::Array { data, .. } | Resp3Frame::Push { data, .. } => {
            Reply::List(data.into_iter().map(|item| reply(item).or_else(inner_error)).collect::<Result<_, _>>()?)
        }
        Resp3Frame::Set { .. } | Resp3Frame::Map { .. } | Resp3Frame::Hello { .. } | Resp3Frame::ChunkedString(_) => {
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
