//! What reverse proxies say of a request, believed only from those that are listed.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::HeaderMap;

use crate::config::{Console, Role};
use outflow_service::http::Peer;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const NAME_CHARS_MAX: usize = 100;

/// The other end of the connection, which the listener has told.
pub(super) fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().map(|peer| peer.0)
}

/// Whether this peer's headers are believed.
pub(super) fn is_listed(config: &Console, peer: SocketAddr) -> bool {
    let ip = peer.ip().to_canonical();
    config.proxies.iter().any(|network| network.contains(&ip))
}

/// Whether somebody else than the peer asks, whoever says so.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.contains_key(FORWARDED_FOR) || headers.contains_key("forwarded")
}

/// The user whom a listed proxy has authenticated.
pub(super) fn user(
    config: &Console,
    headers: &HeaderMap,
    peer: SocketAddr,
) -> Option<(String, Role)> {
    let header = config.proxy_header.as_ref().filter(|_| is_listed(config, peer))?;
    let mut values = headers.get_all(&header.name).iter();
    // Two of them, or a list, which is the same: the proxy has let one of a client's pass.
    let (Some(name), None) = (values.next(), values.next()) else { return None };
    let name = std::str::from_utf8(name.as_bytes()).ok()?.trim();
    let is_name = !name.is_empty()
        && !name.contains(',')
        && name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    is_name.then(|| (name.to_owned(), header.role))
}

/// The address of whoever asks. Each proxy adds whom it was asked by to the end of a list: it is
/// the last one that is no listed proxy. What comes before is what a client has made up.
pub(super) fn client(config: &Console, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
    let mut known = peer;
    let lists = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut told = lists.flat_map(|list| list.to_str().unwrap_or_default().rsplit(','));
    while is_listed(config, known)
        && let Some(ip) = told.next().and_then(|text| address(text.trim()))
    {
        known = SocketAddr::new(ip, 0);
    }
    known.ip().to_canonical()
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port)
}

/// Whether the browser's own connection has TLS: with us, or with a listed proxy.
pub(super) fn is_secure(config: &Console, headers: &HeaderMap, peer: SocketAddr) -> bool {
    let mut all = headers.get_all(FORWARDED_PROTO).iter();
    let mut said = || matches!((all.next(), all.next()), (Some(proto), None) if proto == "https");
    config.certificate.is_some() || is_listed(config, peer) && said()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ProxyHeader, Source, load};

    fn config() -> Console {
        let console = load(&Source::default()).expect("the defaults").console;
        Console {
            proxies: vec!["10.0.0.0/8".parse().expect("a network")],
            proxy_header: Some(ProxyHeader { name: "x-user".to_owned(), role: Role::Operate }),
            ..console
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(*name, value.parse().expect("a value"));
            headers
        })
    }

    #[test]
    fn only_listed_proxies_are_believed() {
        let config = config();
        let said = headers(&[
            ("x-user", "anna"),
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
            ("x-forwarded-proto", "https"),
        ]);
        let peer = |ip: &str| SocketAddr::new(ip.parse().expect("an address"), 1);
        let ip = |ip: &str| ip.parse::<IpAddr>().expect("an address");
        for proxy in ["10.1.2.3", "::ffff:10.1.2.3"].map(peer) {
            assert_eq!(user(&config, &said, proxy), Some(("anna".to_owned(), Role::Operate)));
            assert_eq!(client(&config, &said, proxy), ip("2.2.2.2"));
            assert!(is_secure(&config, &said, proxy));
        }
        for stranger in ["11.1.2.3", "127.0.0.1", "::1"].map(peer) {
            assert_eq!(user(&config, &said, stranger), None);
            assert_eq!(client(&config, &said, stranger), stranger.ip());
            assert!(!is_secure(&config, &said, stranger));
        }
    }

    /// Nobody escapes the limit on log-ins by what they send themselves.
    #[test]
    fn the_address_is_the_one_that_the_outermost_listed_proxy_was_asked_by() {
        let (config, proxy) = (config(), "10.0.0.1:1".parse().expect("an address"));
        let table: [(&[&str], &str); 8] = [
            (&["9.9.9.9, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            (&["9.9.9.9", "1.1.1.1", "10.0.0.2, 10.0.0.3"], "1.1.1.1"),
            (&["1.1.1.1:4711"], "1.1.1.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["10.0.0.2"], "10.0.0.2"),
            (&["9.9.9.9, unknown"], "10.0.0.1"),
            (&["9.9.9.9, unknown, 10.0.0.2"], "10.0.0.2"),
            (&[], "10.0.0.1"),
        ];
        for (lists, expected) in table {
            let pairs: Vec<_> = lists.iter().map(|list| ("x-forwarded-for", *list)).collect();
            let expected: IpAddr = expected.parse().expect("an address");
            assert_eq!(client(&config, &headers(&pairs), proxy), expected, "{lists:?}");
        }
        let twice = headers(&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]);
        assert!(!is_secure(&config, &twice, proxy));
    }

    #[test]
    fn a_header_that_may_be_a_clients_names_nobody() {
        let (config, proxy) = (config(), "10.0.0.1:1".parse().expect("an address"));
        let table: [&[(&'static str, &str)]; 7] = [
            &[],
            &[("x-user", "anna, eve")],
            &[("x-user", "anna,")],
            &[("x-user", "anna"), ("x-user", "")],
            &[("x-user", "anna"), ("x-user", "eve")],
            &[("x-user", "  ")],
            &[("x-other", "anna")],
        ];
        for pairs in table {
            assert_eq!(user(&config, &headers(pairs), proxy), None, "{pairs:?}");
        }
    }
}
