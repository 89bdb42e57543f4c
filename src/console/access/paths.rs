//! Addresses that access decides by.

/// Where people log in.
pub(in crate::console) const LOG_IN: &str = "/login";
/// Leaves the console, which everybody may.
pub(in crate::console) const LOG_OUT: &str = "/logout";
/// Ends the path of what a page asks for by itself: it keeps no session alive.
pub(in crate::console) const LIVE: &str = "/live";

/// The address of the log-in, which leads back here.
pub(super) fn log_in(next: &str) -> String {
    let query = serde_urlencoded::to_string([("next", inside(next))]).unwrap_or_default();
    format!("{LOG_IN}?{query}")
}

/// A path of ours, and never another site.
pub(super) fn inside(next: &str) -> &str {
    let is_path = next.starts_with('/')
        && !next.starts_with("//")
        && !next.starts_with(LOG_IN)
        && !next.contains(|letter: char| letter == '\\' || letter.is_control());
    if is_path { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        let table = [
            ("/streams?name=a", "/streams?name=a"),
            ("/", "/"),
            ("", "/"),
            ("//evil.example", "/"),
            ("/\\evil.example", "/"),
            ("/\t/evil.example", "/"),
            ("/\r\nset-cookie: a=b", "/"),
            ("/\u{1}\u{7f}", "/"),
            ("https://evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("/login?next=/", "/"),
        ];
        for (next, expected) in table {
            assert_eq!(inside(next), expected, "{next:?}");
        }
        assert_eq!(log_in("/a?b=c&d"), "/login?next=%2Fa%3Fb%3Dc%26d");
    }
}
