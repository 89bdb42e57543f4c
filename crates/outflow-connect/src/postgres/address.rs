//! An address of Postgres with libpq's parameters for TLS, of which tokio-postgres knows some and
//! refuses the others. Pure.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

use super::parameters::{self, Fate};
use crate::address::{self, BadUrl};
use crate::tls::{Files, Names, SYSTEM, Verify};

/// What the certificates' parameters are called.
pub const NAMES: Names =
    Names { authorities: "sslrootcert", certificate: "sslcert", key: "sslkey" };
/// Name of the parameter for the TLS mode.
pub const MODE: &str = "sslmode";
const EXPECTED_MODE: &str = "expected disable, prefer, require, verify-ca or verify-full";

/// libpq's `sslmode`, without `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Plain text.
    Disable,
    /// Encrypted if the server offers it, else plain text; nothing is verified.
    Prefer,
    /// Encrypt or fail. If an authority is named, verify it, as libpq does.
    Require,
    /// Like `require`, and an authority that is named must have signed the server's certificate.
    VerifyCa,
    /// Like `verify-ca`, and the certificate must be for the host of the address.
    VerifyFull,
}

/// An address taken apart.
pub(super) struct Address {
    /// What is left for tokio-postgres.
    pub(super) rest: String,
    pub(super) mode: Mode,
    pub(super) files: Files,
    /// The file with passwords.
    pub(super) passfile: Option<PathBuf>,
}

impl Address {
    /// Takes libpq's parameters for TLS out of a connection string, be it a URL or `name=value`
    /// pairs, and refuses those that nobody knows by their names.
    pub(super) fn parse(text: &str) -> Result<Self, BadUrl> {
        address::check(text)?;
        let (rest, found) = match url_query(text) {
            Some((before, query)) => in_url(before, query)?,
            None if is_url(text) => (text.to_owned(), Vec::new()),
            None => in_pairs(text)?,
        };
        let value = |name: &str| {
            found.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let file = |name: &str| value(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if value("sslnegotiation").is_some_and(|value| value != "postgres") {
            return Err(
                BadUrl::because("sslnegotiation=direct is not supported").remedy("leave it out")
            );
        }
        let files = Files {
            authorities: file(NAMES.authorities),
            certificate: file(NAMES.certificate),
            key: file(NAMES.key),
        };
        let mode = match value(MODE).unwrap_or("prefer") {
            "disable" => Mode::Disable,
            "prefer" => Mode::Prefer,
            "require" => Mode::Require,
            "verify-ca" => Mode::VerifyCa,
            "verify-full" => Mode::VerifyFull,
            other => {
                return Err(BadUrl::because(format!("{MODE} is {other:?}")).remedy(EXPECTED_MODE));
            }
        };
        // As libpq says: anybody can have a certificate that some authority of the system has
        // signed.
        let is_system = files.authorities.as_deref().is_none_or(|file| file == Path::new(SYSTEM));
        match mode {
            Mode::VerifyCa if is_system => {
                let what = format!("{MODE}=verify-ca needs a file in {}", NAMES.authorities);
                Err(BadUrl::because(what).remedy("or use verify-full"))
            }
            Mode::Require if is_system && files.authorities.is_some() => {
                let what = format!("{MODE}=require is weak with {}=system", NAMES.authorities);
                Err(BadUrl::because(what).remedy("use verify-full"))
            }
            _ => Ok(Self { rest, mode, files, passfile: file("passfile") }),
        }
    }

    pub(super) fn verify(&self) -> Verify {
        match self.mode {
            Mode::Disable | Mode::Prefer => Verify::Nothing,
            Mode::Require if self.files.authorities.is_none() => Verify::Nothing,
            Mode::Require | Mode::VerifyCa => Verify::Authority,
            Mode::VerifyFull => Verify::AuthorityAndName,
        }
    }
}

/// Adds a parameter to an address. It takes precedence over one of that name in the address.
pub fn with_parameter(url: &SecretString, name: &str, value: &str) -> SecretString {
    let text = url.expose_secret();
    SecretString::from(match url_query(text) {
        Some(_) => format!("{text}&{name}={}", encoded(value)),
        None if is_url(text) => format!("{text}?{name}={}", encoded(value)),
        None => format!("{text} {name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")),
    })
}

/// Whether an address has one of the parameters for TLS.
pub fn has_parameter(url: &SecretString, name: &str) -> bool {
    let text = url.expose_secret();
    let found = match url_query(text) {
        Some((before, query)) => in_url(before, query),
        None if is_url(text) => return false,
        None => in_pairs(text),
    };
    // What cannot be used is refused later.
    found.is_ok_and(|(_, found)| found.iter().any(|(known, _)| known == name))
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// What is before the question mark and behind it. A password may have one too.
fn url_query(text: &str) -> Option<(&str, &str)> {
    if !is_url(text) {
        return None;
    }
    let host = text.find('@').unwrap_or(0);
    let mark = host + text[host..].find('?')?;
    Some((&text[..mark], &text[mark + 1..]))
}

type Found = Vec<(String, String)>;

fn in_url(before: &str, query: &str) -> Result<(String, Found), BadUrl> {
    let (mut kept, mut found) = (Vec::new(), Vec::new());
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = || query.split('&').filter(|pair| !pair.is_empty());
    // An unencoded & in a password makes its rest look like a parameter.
    let may_name = !pairs().any(|pair| decoded(pair).starts_with("password="));
    for pair in pairs() {
        let Some((name, value)) = pair.split_once('=') else {
            let expected = "expected postgres://user[:password]@host[:port]/database[?name=value]";
            return Err(BadUrl::because("a parameter has no value").remedy(expected));
        };
        let (name, value) = (decoded(name), decoded(value));
        match parameters::fate(&name, &value, may_name)? {
            Fate::Ours => found.push((name, value)),
            Fate::Keep => kept.push(pair.to_owned()),
            Fate::As(name, value) => kept.push(format!("{name}={}", encoded(&value))),
            Fate::Drop => {}
        }
    }
    let mark = if kept.is_empty() { "" } else { "?" };
    Ok((format!("{before}{mark}{}", kept.join("&")), found))
}

/// `name = value`, the value perhaps in quotes, with backslashes. What is not understood is left as
/// it is, for tokio-postgres to refuse.
fn in_pairs(text: &str) -> Result<(String, Found), BadUrl> {
    let (mut kept, mut found) = (String::new(), Vec::new());
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, length) = pair_value(after);
        // A blank without quotes in a password makes its rest look like a parameter.
        match parameters::fate(name.trim(), &value, false)? {
            Fate::Ours => found.push((name.trim().to_owned(), value)),
            Fate::Keep => {
                kept.push_str(&rest[..name.len() + 1 + length]);
                kept.push(' ');
            }
            Fate::As(name, value) => {
                // A number needs no quotes; writing to memory cannot fail.
                let _ = write!(kept, "{name}={value} ");
            }
            Fate::Drop => {}
        }
        rest = after[length..].trim_start();
    }
    kept.push_str(rest);
    Ok((kept, found))
}

/// A value, and how long it is as it was written.
fn pair_value(text: &str) -> (String, usize) {
    let start = text.len() - text.trim_start().len();
    let is_quoted = text[start..].starts_with('\'');
    let mut value = String::new();
    let mut letters = text[start..].char_indices().skip(usize::from(is_quoted));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            '\'' if is_quoted => return (value, start + at + 1),
            space if !is_quoted && space.is_whitespace() => return (value, start + at),
            other => value.push(other),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_for_tls_are_taken_out_of_both_forms() {
        let table = [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", Mode::Prefer, None),
            ("postgres://u:p?x@h/d?sslmode=disable", "postgres://u:p?x@h/d", Mode::Disable, None),
            (
                "postgres://h/d?connect_timeout=3&sslmode=verify-full&\
                sslrootcert=%2Fa%20b.pem&options=x",
                "postgres://h/d?connect_timeout=3&options=x",
                Mode::VerifyFull,
                Some("/a b.pem"),
            ),
            (
                "postgresql://h?sslmode=verify-full&sslrootcert=system",
                "postgresql://h",
                Mode::VerifyFull,
                Some("system"),
            ),
            ("host=h sslmode=require user=u", "host=h user=u ", Mode::Require, None),
            (
                r"host=h password='a sslmode=disable \' b' sslmode = 'verify-ca' sslrootcert=/c\ d",
                r"host=h password='a sslmode=disable \' b' ",
                Mode::VerifyCa,
                Some("/c d"),
            ),
        ];
        for (text, rest, mode, authorities) in table {
            let address = Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((address.rest.as_str(), address.mode), (rest, mode), "{text}");
            assert_eq!(address.files.authorities, authorities.map(PathBuf::from), "{text}");
        }
    }

    #[test]
    fn weak_and_unknown_modes_are_refused() {
        let table = [
            ("postgres://h/d?sslmode=allow", "expected disable"),
            ("postgres://h/d?sslmode=verify_full", "expected disable"),
            ("postgres://h/d?sslmode=verify-ca", "needs a file in sslrootcert"),
            ("postgres://h/d?sslmode=verify-ca&sslrootcert=system", "needs a file in sslrootcert"),
            ("postgres://h/d?sslmode=require&sslrootcert=system", "weak"),
            ("postgres://h/d?sslmode=require&sslnegotiation=direct", "not supported"),
        ];
        for (text, words) in table {
            let error = Address::parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
    }

    /// What is verified for each mode, without and with an authority that is named.
    #[test]
    fn modes_mean_what_they_mean_to_libpq() {
        let verify = |text: &str| Address::parse(text).expect(text).verify();
        assert_eq!(verify("postgres://h?sslmode=prefer&sslrootcert=/ca"), Verify::Nothing);
        assert_eq!(verify("postgres://h?sslmode=require"), Verify::Nothing);
        assert_eq!(verify("postgres://h?sslmode=require&sslrootcert=/ca"), Verify::Authority);
        assert_eq!(verify("postgres://h?sslmode=verify-ca&sslrootcert=/ca"), Verify::Authority);
        assert_eq!(verify("postgres://h?sslmode=verify-full"), Verify::AuthorityAndName);
    }

    #[test]
    fn a_parameter_is_added() {
        let table = [
            ("postgres://h/d", "postgres://h/d?sslkey=%2Fa%20%27b", false),
            ("postgres://h/d?x=y", "postgres://h/d?x=y&sslkey=%2Fa%20%27b", false),
            ("postgres://h/d?sslkey=c", "postgres://h/d?sslkey=c&sslkey=%2Fa%20%27b", true),
            ("host=h", r"host=h sslkey='/a \'b'", false),
            ("host=h sslkey=c", r"host=h sslkey=c sslkey='/a \'b'", true),
        ];
        for (text, expected, is_there) in table {
            let url = SecretString::from(text);
            assert_eq!(with_parameter(&url, "sslkey", "/a 'b").expose_secret(), expected, "{text}");
            assert_eq!(has_parameter(&url, "sslkey"), is_there, "{text}");
        }
    }
}
