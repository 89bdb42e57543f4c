//! Connections to Postgres with every limit set: what tokio-postgres and deadpool leave unlimited
//! by default.

mod address;
pub mod blockers;
mod connect;
mod error;
mod fault;
mod hosts;
mod parameters;
mod passfile;
mod pool;
mod pooler;
pub mod scoped;
mod together;
mod trouble;
mod writable;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::tls::{self, Held, Verify};
use address::Address;
use hosts::First;

pub use crate::address::BadUrl;
pub use address::{MODE, Mode, NAMES, has_parameter, with_parameter};
use error::is_read_only;

pub use connect::connect;
pub use error::{describe, describe_pool, is_insecure, is_outage, is_refused, is_refused_by_pool};
pub use fault::{failed, not_answered};
pub use pool::{bare_pool, pool, pool_of_own_sessions};
pub use pooler::{POOLED, UNPOOLED, UNPOOLED_OR_CONTROL, shares_sessions};
pub use together::together;
pub use trouble::{Trouble, classify, classify_state};
pub use writable::takes_no_writes;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead host is noticed after idle + interval × retries = 25 s without an answer, unsent data
/// after 15 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to wait for a free connection of a pool.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_PORT: u16 = 5432;

/// What every session of ours relies on, whatever the database or the role presets. Lines of
/// `set name = value;`.
pub const SESSION: &str = include_str!("postgres/session.sql");

/// Drives a session; see [`Server::connect`].
pub type Connection =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Where Postgres is and how it is reached: host, user, TLS, limits. Certificates were read when it
/// was made.
#[derive(Clone)]
pub struct Server {
    url: SecretString,
    /// What the address is called in messages.
    key: &'static str,
    config: Config,
    /// The address gives the session's name.
    is_named: bool,
    mode: Mode,
    is_verified: bool,
    tls: MakeRustlsConnect,
    client: rustls::ClientConfig,
    files: Held,
    first: First,
}

/// Parses a connection string with libpq's parameters for TLS, and sets keepalives and timeouts
/// where it has none.
///
/// `sslmode` is disable, prefer (the default), require, verify-ca or verify-full, with
/// `sslrootcert`, `sslcert` and `sslkey`. From `require` on, a server without TLS is not connected
/// to; `prefer` takes what it gets.
///
/// # Errors
/// [`BadUrl`] says what is wrong, without repeating the address.
pub fn server(url: &SecretString, application_name: &str) -> Result<Server, BadUrl> {
    const EXPECTED: &str =
        "expected postgres://user[:password]@host[:port]/database[?sslmode=verify-full]";
    let address = Address::parse(url.expose_secret())?;
    let mut config: Config = address.rest.parse().map_err(|error| unfit(&error, EXPECTED))?;
    if config.get_hosts().is_empty() {
        return Err(BadUrl::because(EXPECTED));
    }
    // As libpq: a socket of this machine needs no TLS, and Postgres offers none on it.
    let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    let mode = if is_local { Mode::Disable } else { address.mode };
    config.ssl_mode(match mode {
        Mode::Disable => SslMode::Disable,
        Mode::Prefer => SslMode::Prefer,
        Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
    });
    // What the address says counts.
    config.connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT));
    config.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(TCP_USER_TIMEOUT));
    config.keepalives_interval(config.get_keepalives_interval().unwrap_or(KEEPALIVE_INTERVAL));
    config.keepalives_retries(config.get_keepalives_retries().unwrap_or(KEEPALIVE_RETRIES));
    if config.get_keepalives_idle() == Config::new().get_keepalives_idle() {
        config.keepalives_idle(KEEPALIVE_IDLE);
    }
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let is_named = config.get_application_name().is_some();
    if !is_named {
        config.application_name(application_name);
    }
    passfile::add(&mut config, address.passfile.as_deref()).map_err(BadUrl::of_file)?;
    let is_verified = address.verify() != Verify::Nothing;
    let files = Held::by(address.files.paths());
    let client = tls::client(address.verify(), &address.files, &NAMES).map_err(BadUrl::of_file)?;
    Ok(Server {
        url: url.clone(),
        key: "postgres.url",
        config,
        is_named,
        mode,
        is_verified,
        tls: MakeRustlsConnect::new(client.clone()),
        client,
        files,
        first: First::default(),
    })
}

/// Why tokio-postgres does not take an address. Of what it says only the name of a parameter that
/// it knows is no part of it.
fn unfit(error: &tokio_postgres::Error, expected: &str) -> BadUrl {
    use std::error::Error as _;
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    let said =
        said.strip_prefix("invalid value for option `").and_then(|rest| rest.strip_suffix('`'));
    match said {
        Some(name) => {
            BadUrl::because(format!("{name} has a value that cannot be used")).remedy(expected)
        }
        None => BadUrl::because(expected),
    }
}

impl Server {
    /// This server with another name in `pg_stat_activity`, unless the address gives one.
    #[must_use]
    pub fn named_by_default(&self, application_name: &str) -> Self {
        if self.is_named { self.clone() } else { self.named(application_name) }
    }

    /// This server, whose address is given by another key than `postgres.url`.
    #[must_use]
    pub fn given_by(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// The key that gives its address.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Whether both were given by the same address. What its files held may differ.
    pub fn has_address_of(&self, other: &Self) -> bool {
        self.url.expose_secret() == other.url.expose_secret()
    }

    /// Whether sessions on both are opened in the same way: address, password, certificates.
    pub fn connects_like(&self, other: &Self) -> bool {
        self.has_address_of(other) && self.config == other.config && self.files == other.files
    }

    /// The files with certificates that the address names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.paths()
    }

    /// This server with another name in `pg_stat_activity`.
    #[must_use]
    pub fn named(&self, application_name: &str) -> Self {
        let mut other = self.clone();
        other.config.application_name(application_name);
        other
    }

    /// Opens a session on the first host that gives one which may write. The connection must be
    /// polled for it to make progress. Each host but the last has `connect_timeout`; the last has
    /// the time that the caller gives it, for which [`Server::connect_timeout`] is the measure.
    ///
    /// # Errors
    /// The last host's, as tokio-postgres; [`describe`] puts them in words.
    pub async fn connect(&self) -> Result<(Client, Connection), tokio_postgres::Error> {
        let mut order = self.first.order(&self.config);
        let last = order.pop().unwrap_or(0);
        for host in order {
            match timeout(self.host_timeout(), self.connect_to(host)).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(error)) => {
                    tracing::debug!(
                        host,
                        reason = describe(&error),
                        "cannot use this host: trying \
                        the next one"
                    );
                }
                Err(_elapsed) => {
                    tracing::debug!(
                        host,
                        "this host did not open a session in time: trying the \
                        next one"
                    );
                }
            }
        }
        self.connect_to(last).await
    }

    async fn connect_to(&self, host: usize) -> Result<(Client, Connection), tokio_postgres::Error> {
        let attempt = self.first.attempt(host);
        let mut config = hosts::alone(&self.config, host);
        // Boxed: what tokio-postgres keeps while it connects is large.
        let session = match Box::pin(config.connect(self.tls.clone())).await {
            Err(refused) if is_read_only(&refused) => {
                // The server, or only a setting of the database or role? Not asked for at first:
                // some poolers refuse it.
                let options = config.get_options().unwrap_or_default();
                let options = format!("{options} -c default_transaction_read_only=off");
                config.options(options.trim_start());
                Box::pin(config.connect(self.tls.clone())).await.map_err(|_same| refused)
            }
            outcome => outcome,
        }?;
        attempt.succeeded();
        Ok(session)
    }

    /// The role that connects. Default: the user of this process, as in libpq.
    pub fn user(&self) -> String {
        let own = || {
            nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name)
        };
        self.config.get_user().map(str::to_owned).or_else(own).unwrap_or_default()
    }

    /// Maximum time until one of the hosts has opened a session.
    pub fn connect_timeout(&self) -> Duration {
        self.host_timeout()
            .saturating_mul(u32::try_from(hosts::number(&self.config)).unwrap_or(u32::MAX))
    }

    fn host_timeout(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT)
    }

    /// The TLS mode (`sslmode`).
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether the authority of the server's certificate is verified.
    pub fn is_verified(&self) -> bool {
        self.is_verified
    }

    /// The TLS configuration of its connections.
    pub fn tls(&self) -> &rustls::ClientConfig {
        &self.client
    }

    /// The hosts with their ports, in the order in which they are tried. Sockets of this machine
    /// are left out.
    pub fn hosts(&self) -> Vec<(String, u16)> {
        let ports = self.config.get_ports();
        let port =
            |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
        let name = |(index, host): (usize, &Host)| match host {
            Host::Tcp(name) => Some((name.clone(), port(index))),
            Host::Unix(_) => None,
        };
        self.config.get_hosts().iter().enumerate().filter_map(name).collect()
    }

    /// `host:port`, or several of them.
    pub fn place(&self) -> String {
        let hosts: Vec<String> =
            self.hosts().iter().map(|(host, port)| format!("{host}:{port}")).collect();
        if hosts.is_empty() { "a socket of this machine".to_owned() } else { hosts.join(", ") }
    }
}

/// The address may hold a password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("place", &self.place())
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// [`SESSION`], and after it the `set` statements of one kind of session.
pub fn session(own: &str) -> String {
    [SESSION, own].concat()
}
