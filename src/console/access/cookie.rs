//! The cookie that names a session.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

/// Cookies are shared by all ports of a host: with the port in its name, several consoles on one
/// machine do not log each other out.
fn name(port: u16, is_secure: bool) -> String {
    let prefix = if is_secure { "__Host-" } else { "" };
    format!("{prefix}outflow-console-{port}")
}

/// The id of the session, as the browser has it. With TLS only the name counts that no other host
/// of the domain can set, and no page without TLS: a cookie that somebody planted names nobody.
pub(super) fn session(headers: &HeaderMap, port: u16, is_secure: bool) -> Option<&str> {
    let own = name(port, is_secure);
    let all = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let pairs = all.flat_map(|cookies| cookies.split(';')).map(str::trim);
    let mut named = pairs.filter_map(|pair| pair.split_once('=')).filter(|(name, _)| *name == own);
    named.next().map(|(_, value)| value)
}

/// Not readable by scripts, not sent with what another site begins.
pub(super) fn begin(id: &str, port: u16, is_secure: bool, age_max: Duration) -> String {
    let secure = if is_secure { "; Secure" } else { "" };
    let (name, seconds) = (name(port, is_secure), age_max.as_secs());
    format!("{name}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Removes it.
pub(super) fn end(port: u16, is_secure: bool) -> String {
    begin("", port, is_secure, Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_tls_a_cookie_without_the_prefix_names_nobody() {
        let table: [(&[&str], Option<&str>, Option<&str>); 6] = [
            (&[], None, None),
            (&["outflow-console-1=a"], Some("a"), None),
            (&["__Host-outflow-console-1=b"], None, Some("b")),
            (&["outflow-console-1=a; __Host-outflow-console-1=b"], Some("a"), Some("b")),
            (&["x=1", "__Host-outflow-console-1=b;outflow-console-1=a"], Some("a"), Some("b")),
            (&["outflow-console-2=a; __host-outflow-console-1=b"], None, None),
        ];
        for (cookies, plain, secure) in table {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, cookie.parse().expect("a value"));
            }
            assert_eq!(session(&headers, 1, false), plain, "{cookies:?}");
            assert_eq!(session(&headers, 1, true), secure, "{cookies:?}");
        }
    }
}
