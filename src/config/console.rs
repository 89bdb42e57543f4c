//! `[console]`: where the console listens, who may use it, and what they get to see.

mod typed;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::Problem;
use outflow_connect::{postgres, redis, secret_file};
use outflow_core::fault::Fault;

pub(super) use typed::Typed;

/// Without an address of its own.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9465);

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Read,
    /// Look and act.
    Operate,
}

impl Role {
    /// The word of the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}

/// The console: where, for whom, and what they see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Where the relay serves it; `None`: the relay serves none.
    pub listen: Option<SocketAddr>,
    /// Who may log in.
    pub tokens: Vec<Token>,
    /// Role of visitors who have not logged in; `None`: they must.
    pub anonymous: Option<Role>,
    /// The role that may see payloads.
    pub payloads: Role,
    /// A session ends after this time without a request.
    pub session_idle: Duration,
    /// A session ends after this time.
    pub session_max: Duration,
    /// Host names, in lower case, under which it may be reached beside addresses and localhost.
    pub hosts: Vec<String>,
    /// The certificate that it shows; `None`: no TLS.
    pub certificate: Option<Certificate>,
    /// Proxies whose headers are believed.
    pub proxies: Vec<IpNet>,
    /// How these name the user.
    pub proxy_header: Option<ProxyHeader>,
    /// File with an address of Postgres of its own; `None`: as the relay.
    pub postgres_url_file: Option<PathBuf>,
    /// The same of Redis.
    pub redis_url_file: Option<PathBuf>,
}

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Where the token is.
    pub file: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, with those between it and its authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A header in which proxies name the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its name, in lower case.
    pub name: String,
    /// What such a user may do.
    pub role: Role,
}

impl Console {
    /// Where it is served if nothing else is said.
    pub fn address(&self) -> SocketAddr {
        self.listen.unwrap_or(LISTEN)
    }

    /// Whether it can be served on this address: somebody must be able to log in, and nobody may
    /// come in without that from another machine.
    ///
    /// # Errors
    /// The key, relative to `[console]`, and what to do.
    pub fn may_listen(&self, listen: SocketAddr) -> Result<(), Problem> {
        let is_local = listen.ip().to_canonical().is_loopback();
        if self.anonymous.is_some() && !is_local {
            let what = format!("is for loopback addresses only, and the console is on {listen}");
            let remedy = "remove it and give tokens, or listen on 127.0.0.1";
            return Err(Problem::new("anonymous", what).remedy(remedy));
        }
        if self.tokens.is_empty() && self.anonymous.is_none() && self.proxy_header.is_none() {
            let who = if is_local { "nobody could log in" } else { "it is open to other machines" };
            let what = format!("there is none, and {who} on {listen}");
            let or = if is_local {
                "; or, if every user of this machine may look, set console.anonymous = \"read\""
            } else {
                ""
            };
            return Err(Problem::new("tokens", what).remedy(format!(
                "write a token (umask 077; openssl rand -hex 32 > /etc/outflow/console-token) and \
                    name its file in a section [[console.tokens]] with name, role and file{or}"
            )));
        }
        Ok(())
    }

    /// Reads the addresses of its own. Only the console may be able to read their files.
    ///
    /// # Errors
    /// A file cannot be read, or has no address.
    pub fn servers(&self) -> Result<(Option<postgres::Server>, Option<redis::Server>), Fault> {
        let at = |key: &'static str| move |fault: Fault| fault.at(format!("console.{key}"));
        let postgres = |file: &Path| {
            let url = secret_file::read(file)?;
            postgres::server(&url, "outflow").map_err(Fault::from)
        };
        let redis = |file: &Path| redis::server(&secret_file::read(file)?).map_err(Fault::from);
        let (own_postgres, own_redis) = (&self.postgres_url_file, &self.redis_url_file);
        Ok((
            own_postgres.as_deref().map(postgres).transpose().map_err(at("postgres_url_file"))?,
            own_redis.as_deref().map(redis).transpose().map_err(at("redis_url_file"))?,
        ))
    }
}
