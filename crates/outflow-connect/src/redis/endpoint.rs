//! Where a server listens, as addresses, nodes of a cluster and sentinels write it. Pure.

use std::borrow::Cow;
use std::fmt;

use url::Url;

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    /// `host:port`, also with an IPv6 address in brackets or without. Nothing before the colon, or
    /// a question mark, stands for `own_host`: a node that does not know its own name.
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
    pub(super) fn bracketed(&self) -> Cow<'_, str> {
        if self.host.contains(':') {
            format!("[{}]", self.host).into()
        } else {
            self.host.as_str().into()
        }
    }

    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self { host, port: url.port().unwrap_or_else(|| default_port(url.scheme())) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.bracketed(), self.port)
    }
}

/// Where servers listen when an address does not say it.
pub(super) fn default_port(scheme: &str) -> u16 {
    if scheme.ends_with("-sentinel") { 26_379 } else { 6_379 }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(
                Endpoint::parse(text, "own").map(|place| place.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn a_sentinel_has_a_port_of_its_own() {
        let table = [
            ("redis://h", "h:6379"),
            ("rediss-sentinel://h", "h:26379"),
            ("redis-sentinel://[::1]:7", "[::1]:7"),
        ];
        for (url, expected) in table {
            assert_eq!(
                Endpoint::of(&Url::parse(url).expect("a URL"))
                    .map(|place| place.to_string())
                    .as_deref(),
                Some(expected)
            );
        }
    }
}
