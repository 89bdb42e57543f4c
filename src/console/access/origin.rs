//! Where a request comes from, by what its browser says: a page of another site cannot change that.
//! Pure.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_DEST: &str = "sec-fetch-dest";

/// Whether the console may be called by this name. A page whose own name was pointed to this
/// address (DNS rebinding) gives itself away by it; an address cannot be pointed anywhere.
pub(super) fn is_ours(authority: &str, hosts: &[String]) -> bool {
    let name = host_of(authority).to_ascii_lowercase();
    let ip = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_address =
        ip.map_or_else(|| name.parse::<IpAddr>().is_ok(), |ip| ip.parse::<Ipv6Addr>().is_ok());
    is_address || name == "localhost" || hosts.contains(&name)
}

/// The `Host` of a request; empty if it has none.
pub(super) fn host(headers: &HeaderMap) -> &str {
    let mut all = headers.get_all(HOST).iter();
    match (all.next(), all.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    }
}

/// Whether a request that changes something comes from a page of ours. One without a word about
/// that is no browser's; the token of its form decides then.
pub(super) fn is_own_page(headers: &HeaderMap, hosts: &[String]) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    if !matches!(site, None | Some(b"same-origin" | b"none")) {
        return false;
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let authority =
        origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1)).unwrap_or("");
    // A proxy may pass on another Host than the browser's; its names are configured.
    let name = host_of(authority).to_ascii_lowercase();
    !authority.is_empty()
        && (authority.eq_ignore_ascii_case(host(headers)) || hosts.contains(&name))
}

/// Whether another site's link or form leads here: browsers keep a strict cookie back then.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// Whether a page of another site asks for this as a part of itself, such as an image: it would
/// have the servers asked, although it cannot see the answer.
pub(super) fn is_part_of_another(headers: &HeaderMap) -> bool {
    is_from_elsewhere(headers)
        && headers.get(SEC_FETCH_DEST).is_none_or(|destination| destination != "document")
}

/// Without the port.
fn host_of(authority: &str) -> &str {
    match authority.rfind(']') {
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_names_of_ours_are_answered() {
        let hosts = ["console.example.com".to_owned()];
        let table = [
            ("127.0.0.1:9465", true),
            ("10.1.2.3", true),
            ("[::1]:9465", true),
            ("localhost:8080", true),
            ("LOCALHOST", true),
            ("console.example.com", true),
            ("Console.Example.com:443", true),
            ("evil.example", false),
            ("console.example.com.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example:9465", false),
            ("[evil]", false),
            ("", false),
        ];
        for (host, expected) in table {
            assert_eq!(is_ours(host, &hosts), expected, "{host:?}");
        }
    }

    #[test]
    fn a_forged_origin_is_seen() {
        let hosts = ["console.example.com".to_owned()];
        let table = [
            (None, None, true),
            (Some("http://127.0.0.1:9465"), None, true),
            (Some("http://127.0.0.1:9465"), Some("same-origin"), true),
            (Some("https://console.example.com"), Some("same-origin"), true),
            (Some("http://127.0.0.1:9466"), None, false),
            (Some("https://evil.example"), None, false),
            (Some("https://evil.example"), Some("cross-site"), false),
            (Some("null"), None, false),
            (Some("http://"), None, false),
            (None, Some("cross-site"), false),
            (None, Some("same-site"), false),
            (Some("http://127.0.0.1:9465"), Some("cross-site"), false),
        ];
        for (origin, site, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "127.0.0.1:9465".parse().expect("a value"));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, origin.parse().expect("a value"));
            }
            if let Some(site) = site {
                headers.insert(SEC_FETCH_SITE, site.parse().expect("a value"));
            }
            assert_eq!(is_own_page(&headers, &hosts), expected, "{origin:?} {site:?}");
        }
    }
}
