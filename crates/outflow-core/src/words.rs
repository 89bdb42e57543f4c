//! Rewrites error texts of libraries, which are written for programmers, in plain words.

/// A client's reason as a person would put it: fred keeps of an error of the system, or of TLS,
/// what Rust prints for programmers.
pub fn plain(reason: &str) -> String {
    // fred's for bytes that are not Redis's protocol.
    if reason.starts_with("Decode Error") {
        return "an answer that is not in Redis's protocol".to_owned();
    }
    // `Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }`
    if let Some(message) = quoted_after(reason, "message: ") {
        return message.to_lowercase();
    }
    // `Custom { kind: UnexpectedEof, error: "peer closed connection …" }`, or a name in place of
    // the text.
    let reason = match reason.split_once("error: ") {
        Some((before, _)) if before.starts_with("Custom {") => quoted_after(reason, "error: ")
            .map_or_else(
                || reason[before.len() + "error: ".len()..].trim_end_matches([' ', '}']).to_owned(),
                str::to_owned,
            ),
        _ => reason.to_owned(),
    };
    let name =
        reason.strip_prefix("Kind(").and_then(|rest| rest.strip_suffix(')')).unwrap_or(&reason);
    if name.contains(' ') { name.to_owned() } else { spaced(name) }
}

/// The same for a text that ends with such a name, as rustls's do:
/// `invalid peer certificate: UnknownIssuer`.
pub fn plain_end(text: &str) -> String {
    match text.rsplit_once(": ") {
        Some((before, name))
            if !name.contains(' ') && name.contains(|letter: char| letter.is_ascii_uppercase()) =>
        {
            format!("{before}: {}", spaced(name))
        }
        _ => text.to_owned(),
    }
}

fn quoted_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(name)?.1.strip_prefix('"')?;
    rest.split('"').next()
}

/// `UnexpectedEof` → `unexpected eof`.
fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        match letter {
            upper if upper.is_ascii_uppercase() => {
                if words.ends_with(|last: char| last.is_ascii_lowercase()) {
                    words.push(' ');
                }
                words.push(upper.to_ascii_lowercase());
            }
            '(' => words.push_str(": "),
            ')' => {}
            other => words.push(other),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn reasons_are_words() {
        let eof = Error::new(
            ErrorKind::UnexpectedEof,
            "peer closed connection without sending TLS close_notify",
        );
        let certificate =
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let table = [
            (format!("{:?}", Error::from_raw_os_error(111)), "connection refused"),
            (format!("{:?}", Error::from_raw_os_error(104)), "connection reset by peer"),
            (format!("{eof:?}"), "peer closed connection without sending TLS close_notify"),
            (format!("{:?}", Error::from(ErrorKind::UnexpectedEof)), "unexpected eof"),
            (format!("{:?}", Error::other(certificate)), "invalid certificate: unknown issuer"),
            (
                "WRONGPASS invalid username-password pair".to_owned(),
                "WRONGPASS invalid username-password pair",
            ),
            ("Request timed out.".to_owned(), "Request timed out."),
        ];
        for (reason, expected) in &table {
            assert_eq!(plain(reason), *expected, "{reason}");
        }
        let own = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))";
        assert_eq!(
            plain_end(own),
            "invalid peer certificate: other: other error: ca used as end entity"
        );
        assert_eq!(plain_end("connection to db: refused"), "connection to db: refused");
    }
}
