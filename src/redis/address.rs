//! An address of Redis: one server or a cluster, with the parameters for TLS that redis-py has, which fred does not know.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::{BadUrl, Redis};
use crate::tls::{self, Files, Names, Verify};

/// What the certificates' parameters are called.
pub const NAMES: Names = Names { authorities: "ssl_ca_certs", certificate: "ssl_certfile", key: "ssl_keyfile" };
pub(super) const EXPECTED: &str = "expected redis://[user:password@]host[:port][/database], or rediss:// for TLS; \
    redis-cluster:// or rediss-cluster:// for a cluster, which needs one of its nodes, and more as ?node=host:port";
const DEFAULT_PORT: u16 = 6379;
/// Another node of a cluster: where to ask when the first one is down.
const NODE: &str = "node";

/// An address taken apart.
pub(super) struct Address {
    /// What is left for fred: without TLS and its parameters.
    rest: Url,
    /// What a connection over TLS is made with; `None`: plain text.
    pub(super) tls: Option<rustls::ClientConfig>,
    /// The nodes that it names; more than one for a cluster only.
    pub(super) places: Vec<Place>,
    pub(super) is_cluster: bool,
}

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `rediss://` and `rediss-cluster://` always verify authority and host name.
    pub(super) fn parse(url: &SecretString) -> Result<Self, BadUrl> {
        let text = url.expose_secret();
        let scheme = text.split("://").next().unwrap_or_default();
        let (is_tls, is_cluster) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis-cluster" => (false, true),
            "rediss-cluster" => (true, true),
            "redis-sentinel" | "rediss-sentinel" => {
                return Err(BadUrl(format!("{scheme}:// is not supported by this version; {EXPECTED}")));
            }
            _ => return Err(BadUrl(EXPECTED.to_owned())),
        };
        let url = Url::parse(text).map_err(|_hidden| BadUrl(EXPECTED.to_owned()))?;
        let (files, nodes, others) = parameters(&url);
        if let Some(other) = others.first() {
            let Names { authorities, certificate, key } = NAMES;
            return Err(BadUrl(format!(
                "unknown parameter {other:?}; known ones are {authorities}, {certificate}, {key}, and {NODE} for a cluster"
            )));
        }
        if !is_tls && files != Files::default() {
            return Err(BadUrl(format!("{} and the like are used with rediss:// only", NAMES.authorities)));
        }
        if !is_cluster && !nodes.is_empty() {
            return Err(BadUrl(format!("{NODE} is used with redis-cluster:// only")));
        }
        if is_cluster && !matches!(url.path().trim_matches('/'), "" | "0") {
            return Err(BadUrl("a cluster has database 0 only; leave the database out of the address".to_owned()));
        }
        let mut places = vec![Place::of(&url).ok_or_else(|| BadUrl(EXPECTED.to_owned()))?];
        for node in nodes {
            let bad = || BadUrl(format!("{NODE}={node}: expected {NODE}=host:port"));
            let place = Place::parse(&node, "").ok_or_else(bad)?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let tls = is_tls.then(|| tls::client(Verify::AuthorityAndName, &files, &NAMES).map_err(BadUrl)).transpose()?;
        // Not set_scheme: it takes no other scheme of an unknown kind.
        let rest = text.replacen(scheme, "redis", 1);
        let mut rest = Url::parse(&rest).map_err(|_hidden| BadUrl(EXPECTED.to_owned()))?;
        rest.set_query(None);
        Ok(Self { rest, tls, places, is_cluster })
    }

    /// What fred is told: the server that the address names, or this node of the cluster.
    pub(super) fn at(&self, node: Option<&Place>) -> String {
        let mut url = self.rest.clone();
        if let Some(node) = node {
            // Both fail only for an address without a host, which `parse` refuses.
            let _ = url.set_host(Some(&node.bracketed()));
            let _ = url.set_port(Some(node.port));
        }
        url.to_string()
    }
}

impl Redis {
    /// Checks an address without connecting.
    ///
    /// # Errors
    /// [`BadUrl`] says what is wrong with it, without repeating it.
    pub fn check_url(url: &SecretString) -> Result<(), BadUrl> {
        Address::parse(url).map(drop)
    }

    /// Where an address leads, without user and password: `host:port/database`, or `host:port/cluster` with the first node
    /// that it names.
    pub fn place(url: &SecretString) -> String {
        let Some(place) = Place::of_text(url) else { return String::new() };
        format!("{place}/{}", if Self::is_cluster_url(url) { "cluster".to_owned() } else { database(url) })
    }

    /// Host and port of an address; for a cluster those of the first node that it names.
    pub fn host(url: &SecretString) -> Option<(String, u16)> {
        Place::of_text(url).map(|Place { host, port }| (host, port))
    }

    /// Whether it is the address of a cluster.
    pub fn is_cluster_url(url: &SecretString) -> bool {
        ["redis-cluster://", "rediss-cluster://"].iter().any(|scheme| url.expose_secret().starts_with(scheme))
    }

    /// What connections to an address are made with; `None` for plain text.
    ///
    /// # Errors
    /// [`BadUrl`] when the address cannot be used.
    pub(crate) fn tls(url: &SecretString) -> Result<Option<rustls::ClientConfig>, BadUrl> {
        Address::parse(url).map(|address| address.tls)
    }
}

impl Place {
    /// `host:port`, also with an IPv6 address in brackets or without. Nothing before the colon, or a question mark, stands
    /// for `own_host`: a node that does not know its own name.
    pub(super) fn parse(text: &str, own_host: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = match host.trim_matches(['[', ']']) {
            "" | "?" => own_host,
            host => host,
        };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }

    /// The host as addresses have it: an IPv6 address in brackets.
    fn bracketed(&self) -> Cow<'_, str> {
        if self.host.contains(':') { format!("[{}]", self.host).into() } else { self.host.as_str().into() }
    }

    fn of_text(url: &SecretString) -> Option<Self> {
        Self::of(&Url::parse(url.expose_secret()).ok()?)
    }

    fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self { host, port: url.port().unwrap_or(DEFAULT_PORT) })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed(), self.port)
    }
}

/// The files that an address names.
pub fn files(url: &SecretString) -> Vec<PathBuf> {
    Url::parse(url.expose_secret()).map(|url| parameters(&url).0.paths()).unwrap_or_default()
}

/// The certificates, the further nodes, and the names of all other parameters.
fn parameters(url: &Url) -> (Files, Vec<String>, Vec<String>) {
    let (mut files, mut nodes, mut others) = (Files::default(), Vec::new(), Vec::new());
    for (name, value) in url.query_pairs() {
        let file = Some(PathBuf::from(value.as_ref())).filter(|file| !file.as_os_str().is_empty());
        match name.as_ref() {
            name if name == NAMES.authorities => files.authorities = file,
            name if name == NAMES.certificate => files.certificate = file,
            name if name == NAMES.key => files.key = file,
            NODE => nodes.push(value.into_owned()),
            other => others.push(other.to_owned()),
        }
    }
    (files, nodes, others)
}

/// An address with one more parameter; `None` if it has that one already, or cannot be understood.
pub fn with_parameter(url: &SecretString, name: &str, value: &str) -> Option<SecretString> {
    let mut longer = Url::parse(url.expose_secret()).ok()?;
    if longer.query_pairs().any(|(known, _)| known == name) {
        return None;
    }
    longer.query_pairs_mut().append_pair(name, value);
    Some(SecretString::from(longer.to_string()))
}

/// The database's number, as it is written.
fn database(url: &SecretString) -> String {
    let path = Url::parse(url.expose_secret()).map(|url| url.path().trim_matches('/').to_owned()).unwrap_or_default();
    if path.is_empty() { "0".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fred_gets_has_neither_tls_nor_its_parameters() {
        let table = [
            ("redis://h", "redis://h", false),
            ("redis://u:p@h:7/3", "redis://u:p@h:7/3", false),
            ("rediss://u:p%40@h:7/3?ssl_ca_certs=system", "redis://u:p%40@h:7/3", true),
        ];
        for (text, rest, is_tls) in table {
            match Address::parse(&SecretString::from(text)) {
                Ok(address) => assert_eq!((address.at(None).as_str(), address.tls.is_some()), (rest, is_tls), "{text}"),
                // A machine without authorities of its own.
                Err(error) => assert!(is_tls && error.to_string().contains("install ca-certificates"), "{error}"),
            }
        }
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn a_cluster_is_reached_at_any_of_its_nodes() {
        let url = "redis-cluster://u:p%40@one:7?node=two:8&node=[::3]:9&node=one:7";
        let address = Address::parse(&SecretString::from(url)).expect("an address");
        let places: Vec<String> = address.places.iter().map(Place::to_string).collect();
        assert_eq!(places, ["one:7", "two:8", "[::3]:9"]);
        let told: Vec<String> = address.places.iter().map(|place| address.at(Some(place))).collect();
        assert_eq!(told, ["redis://u:p%40@one:7", "redis://u:p%40@two:8", "redis://u:p%40@[::3]:9"]);
    }

    #[test]
    fn a_node_is_understood_as_nodes_write_it() {
        let table = [
            ("10.0.0.1:6379", Some("10.0.0.1:6379")),
            ("redis-2.redis:6380", Some("redis-2.redis:6380")),
            ("::1:6379", Some("[::1]:6379")),
            (":6381", Some("own:6381")),
            ("?:6381", Some("own:6381")),
            ("host", None),
            ("host:0", None),
        ];
        for (text, expected) in table {
            assert_eq!(Place::parse(text, "own").map(|place| place.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(table.len(), 7);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let table = [
            ("http://h", "expected redis://"),
            ("redis-sentinel://h", "not supported"),
            ("redis-cluster://", "expected redis://"),
            ("redis-cluster://h/1", "database 0 only"),
            ("redis-cluster://h?node=two", "expected node=host:port"),
            ("redis://h?node=two:1", "redis-cluster:// only"),
            ("redis://h?ssl_ca_certs=/ca", "rediss:// only"),
            ("rediss://h?ssl_cert_reqs=none", "unknown parameter \"ssl_cert_reqs\""),
            ("rediss://h?ssl_ca_certs=/nowhere.pem", "/nowhere.pem: there is no such file"),
        ];
        for (text, words) in table {
            let error = Address::parse(&SecretString::from(text)).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
        assert_eq!(table.len(), 9);
    }
}
