//! `[console]` as the user types it, and its validation.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use super::{Certificate, Console, ProxyHeader, Role, Token};
use crate::config::Problem;

const SESSION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);
/// More than anybody has, and few enough to compare with each log-in.
const TOKENS_MAX: usize = 100;
const NAME_CHARS_MAX: usize = 63;

/// As the user types it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Typed {
    listen: String,
    tokens: Vec<Token>,
    anonymous: String,
    payloads: Role,
    #[serde(with = "humantime_serde")]
    session_idle: Duration,
    #[serde(with = "humantime_serde")]
    session_max: Duration,
    hosts: Vec<String>,
    sslcert: PathBuf,
    sslkey: PathBuf,
    proxy_from: Vec<String>,
    proxy_header: String,
    proxy_role: Role,
    postgres_url_file: PathBuf,
    redis_url_file: PathBuf,
}

impl Typed {
    /// The keys are relative to the section.
    pub(in crate::config) fn validate(self) -> Result<Console, Problem> {
        let listen = Some(self.listen.as_str()).filter(|listen| !listen.is_empty());
        let listen = listen.map(address).transpose()?;
        let (session_idle, session_max) = (self.session_idle, self.session_max);
        within(session_idle, "session_idle")?;
        within(session_max, "session_max")?;
        let anonymous = match self.anonymous.as_str() {
            "" => None,
            "read" => Some(Role::Read),
            "operate" => Some(Role::Operate),
            other => {
                let message = format!("found {other:?}, expected read, operate or \"\"");
                return Err(Problem::new("anonymous", message));
            }
        };
        names(&self.tokens)?;
        let console = Console {
            listen,
            tokens: self.tokens,
            anonymous,
            payloads: self.payloads,
            session_idle,
            session_max,
            hosts: hosts(&self.hosts)?,
            certificate: certificate(self.sslcert, self.sslkey)?,
            proxies: proxies(&self.proxy_from)?,
            proxy_header: proxy_header(&self.proxy_header, self.proxy_role)?,
            postgres_url_file: given(self.postgres_url_file),
            redis_url_file: given(self.redis_url_file),
        };
        if console.proxy_header.is_some() && console.proxies.is_empty() {
            let what = "needs the addresses of the proxies that may send it";
            return Err(Problem::new("proxy_header", what).remedy("set console.proxy_from"));
        }
        if let Some(listen) = listen {
            console.may_listen(listen)?;
        }
        Ok(console)
    }
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| {
        let message = format!("found {text:?}, expected an address such as 127.0.0.1:9465");
        Problem::new("listen", message)
    })
}

fn names(tokens: &[Token]) -> Result<(), Problem> {
    if tokens.len() > TOKENS_MAX {
        let message = format!("found {}, expected at most {TOKENS_MAX}", tokens.len());
        return Err(Problem::new("tokens", message));
    }
    let mut known = HashSet::new();
    for (number, token) in tokens.iter().enumerate() {
        let problem = |key: &str, message: String| {
            Err(Problem::new(format!("tokens.{number}.{key}"), message))
        };
        let name = &token.name;
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(fits) {
            let expected = "expected 1 to 63 letters, digits, '_', '-', '.' or '@'";
            return problem("name", format!("found {name:?}, {expected}"));
        }
        if !known.insert(name) {
            let message = format!("{name:?} is the name of another token too; names must differ");
            return problem("name", message);
        }
        if token.file.as_os_str().is_empty() {
            return problem("file", "is empty".to_owned());
        }
    }
    Ok(())
}

fn hosts(given: &[String]) -> Result<Vec<String>, Problem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let checked = |host: &String| {
        if host.is_empty() || !host.chars().all(fits) {
            let expected = "expected a host name such as console.example.com, without port";
            return Err(Problem::new("hosts", format!("found {host:?}, {expected}")));
        }
        Ok(host.to_ascii_lowercase())
    };
    given.iter().map(checked).collect()
}

fn certificate(chain: PathBuf, key: PathBuf) -> Result<Option<Certificate>, Problem> {
    match (given(chain), given(key)) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => Ok(Some(Certificate { chain, key })),
        (Some(_), None) => Err(Problem::new("sslcert", "needs sslkey as well")),
        (None, Some(_)) => Err(Problem::new("sslkey", "needs sslcert as well")),
    }
}

fn proxies(given: &[String]) -> Result<Vec<IpNet>, Problem> {
    let network = |text: &String| {
        let one = text.parse::<IpAddr>().map(IpNet::from);
        one.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
            let expected = "expected addresses such as 10.0.0.7 or 10.0.0.0/8";
            Problem::new("proxy_from", format!("found {text:?}, {expected}"))
        })
    };
    given.iter().map(network).collect()
}

fn proxy_header(name: &str, role: Role) -> Result<Option<ProxyHeader>, Problem> {
    if name.is_empty() {
        return Ok(None);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    // What every browser sends, or what proxies send of everybody, is no proof of anything.
    let is_common = ["host", "origin", "cookie", "authorization", "x-forwarded-for", "user-agent"]
        .contains(&name.to_ascii_lowercase().as_str());
    if is_common || !name.chars().all(fits) {
        let expected = "expected a header that only the proxy sets, such as X-Forwarded-User";
        return Err(Problem::new("proxy_header", format!("found {name:?}, {expected}")));
    }
    Ok(Some(ProxyHeader { name: name.to_ascii_lowercase(), role }))
}

fn within(value: Duration, key: &str) -> Result<(), Problem> {
    if SESSION.contains(&value) {
        return Ok(());
    }
    let found = humantime::format_duration(value);
    Err(Problem::new(key, format!("found {found}, expected 1s to 7days")))
}

fn given(file: PathBuf) -> Option<PathBuf> {
    Some(file).filter(|file| !file.as_os_str().is_empty())
}
