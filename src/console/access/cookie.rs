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

/// The id of the session, as the browser has it.
pub(super) fn session(headers: &HeaderMap, port: u16) -> Option<&str> {
    let names = [name(port, true), name(port, false)];
    let value = |pair: &'_ str| -> bool {
        pair.split_once('=').is_some_and(|(name, _)| names.iter().any(|own| own == name))
    };
    let all = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = all.flat_map(|cookies| cookies.split(';')).map(str::trim);
    pairs.find(|pair| value(pair)).and_then(|pair| Some(pair.split_once('=')?.1))
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
