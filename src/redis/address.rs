//! An address of Redis, with the parameters for TLS that redis-py has, which fred does not know.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::BadUrl;
use crate::tls::{self, Files, Names, Verify};

/// What the certificates' parameters are called.
pub const NAMES: Names = Names { authorities: "ssl_ca_certs", certificate: "ssl_certfile", key: "ssl_keyfile" };
pub(super) const EXPECTED: &str = "expected redis://[user:password@]host[:port][/database], or rediss:// for TLS";
const DEFAULT_PORT: u16 = 6379;

/// An address taken apart.
pub(super) struct Address {
    /// What is left for fred: without TLS and its parameters.
    pub(super) rest: String,
    /// What a connection over TLS is made with; `None`: plain text.
    pub(super) tls: Option<rustls::ClientConfig>,
}

impl Address {
    /// `rediss://` always verifies authority and host name.
    pub(super) fn parse(url: &SecretString) -> Result<Self, BadUrl> {
        let text = url.expose_secret();
        let scheme = text.split("://").next().unwrap_or_default();
        let is_tls = match scheme {
            "redis" => false,
            "rediss" => true,
            "redis-cluster" | "redis-sentinel" | "rediss-cluster" | "rediss-sentinel" => {
                return Err(BadUrl(format!("{scheme}:// is not supported by this version; {EXPECTED}")));
            }
            _ => return Err(BadUrl(EXPECTED.to_owned())),
        };
        let mut url = Url::parse(text).map_err(|_hidden| BadUrl(EXPECTED.to_owned()))?;
        let (files, others) = parameters(&url);
        if let Some(other) = others.first() {
            let Names { authorities, certificate, key } = NAMES;
            return Err(BadUrl(format!(
                "unknown parameter {other:?}; known ones are {authorities}, {certificate}, {key}"
            )));
        }
        if !is_tls && files != Files::default() {
            return Err(BadUrl(format!("{} and the like are used with rediss:// only", NAMES.authorities)));
        }
        url.set_query(None);
        let tls = is_tls.then(|| tls::client(Verify::AuthorityAndName, &files, &NAMES).map_err(BadUrl)).transpose()?;
        // Not set_scheme: it takes no other scheme of an unknown kind.
        let rest = url.as_str().replacen("rediss://", "redis://", 1);
        Ok(Self { rest, tls })
    }
}

/// The files that an address names.
pub fn files(url: &SecretString) -> Vec<PathBuf> {
    Url::parse(url.expose_secret()).map(|url| parameters(&url).0.paths()).unwrap_or_default()
}

/// The certificates, and the names of all other parameters.
fn parameters(url: &Url) -> (Files, Vec<String>) {
    let (mut files, mut others) = (Files::default(), Vec::new());
    for (name, value) in url.query_pairs() {
        let file = Some(PathBuf::from(value.as_ref())).filter(|file| !file.as_os_str().is_empty());
        match name.as_ref() {
            name if name == NAMES.authorities => files.authorities = file,
            name if name == NAMES.certificate => files.certificate = file,
            name if name == NAMES.key => files.key = file,
            other => others.push(other.to_owned()),
        }
    }
    (files, others)
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

/// Host and port of an address.
pub(super) fn host(url: &SecretString) -> Option<(String, u16)> {
    let url = Url::parse(url.expose_secret()).ok()?;
    Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port().unwrap_or(DEFAULT_PORT)))
}

/// The database's number, as it is written.
pub(super) fn database(url: &SecretString) -> String {
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
                Ok(address) => assert_eq!((address.rest.as_str(), address.tls.is_some()), (rest, is_tls), "{text}"),
                // A machine without authorities of its own.
                Err(error) => assert!(is_tls && error.to_string().contains("install ca-certificates"), "{error}"),
            }
        }
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let table = [
            ("http://h", "expected redis://"),
            ("redis-cluster://h", "not supported"),
            ("redis://h?ssl_ca_certs=/ca", "rediss:// only"),
            ("rediss://h?ssl_cert_reqs=none", "unknown parameter \"ssl_cert_reqs\""),
            ("rediss://h?ssl_ca_certs=/nowhere.pem", "/nowhere.pem: there is no such file"),
        ];
        for (text, words) in table {
            let error = Address::parse(&SecretString::from(text)).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.to_string().contains(words), "{text}: {error}");
        }
        assert_eq!(table.len(), 5);
    }
}
