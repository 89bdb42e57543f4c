//! An address of Redis: one server, a cluster, or the master that sentinels name, with the
//! parameters for TLS that redis-py has, which fred does not know.

use std::path::PathBuf;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::endpoint::Endpoint;
use crate::address::{self, BadUrl};
use crate::tls::{self, Files, Held, Names, Verify};

/// What the certificates' parameters are called.
pub const NAMES: Names =
    Names { authorities: "ssl_ca_certs", certificate: "ssl_certfile", key: "ssl_keyfile" };
pub(super) const EXPECTED: &str = "expected redis://[user:password@]host[:port][/database], or \
    rediss:// for TLS; \
    redis-cluster:// or rediss-cluster:// for a cluster, which needs one of its nodes, and more \
    as ?node=host:port; \
    redis-sentinel:// or rediss-sentinel:// for the master that sentinels name: one of them, more \
    as ?node=host:port, and \
    service_name=NAME";
const USER_ALONE: &str = "there is a user without a password: a password alone is written with a \
    colon before it, \
    redis://:PASSWORD@host, and a user without one as redis://user:@host";
/// Another node of a cluster, or another sentinel: where to ask when the first one is down.
const NODE: &str = "node";
/// What sentinels call their master: redis-py's word for it.
pub(super) const SERVICE: &str = "service_name";
/// Who we are to the sentinels, if they ask; user and password of the address are for the master.
const SENTINEL_USER: &str = "sentinel_username";
pub(super) const SENTINEL_PASSWORD: &str = "sentinel_password";

/// An address taken apart.
#[derive(Clone)]
pub(super) struct Address {
    /// What is left for fred: without TLS and its parameters.
    rest: Url,
    /// What a connection over TLS is made with; `None`: plain text.
    pub(super) tls: Option<rustls::ClientConfig>,
    /// The files that it is made of.
    pub(super) files: Held,
    /// The servers that it names: nodes of the cluster, or sentinels. One unless it is of those.
    pub(super) places: Vec<Endpoint>,
    pub(super) kind: Kind,
}

/// What an address leads to.
#[derive(Clone)]
pub(super) enum Kind {
    Server,
    Cluster,
    Sentinels(Sentinels),
}

/// To the master that sentinels know by a name.
#[derive(Clone)]
pub(super) struct Sentinels {
    pub(super) service: String,
    /// What fred is told of a sentinel, but for its place.
    rest: Url,
}

/// What the query of an address says.
#[derive(Default)]
struct Parameters {
    files: Files,
    nodes: Vec<String>,
    service: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    /// Names of those that nobody knows.
    others: Vec<String>,
}

impl Address {
    /// `rediss://` and its like always verify authority and host name.
    pub(super) fn parse(url: &SecretString) -> Result<Self, BadUrl> {
        let text = url.expose_secret();
        let scheme = text.split("://").next().unwrap_or_default();
        let (is_tls, of) = match scheme {
            "redis" => (false, ""),
            "rediss" => (true, ""),
            "redis-cluster" => (false, "cluster"),
            "rediss-cluster" => (true, "cluster"),
            "redis-sentinel" => (false, "sentinel"),
            "rediss-sentinel" => (true, "sentinel"),
            _ => return Err(BadUrl::because(EXPECTED)),
        };
        address::check(text)?;
        if address::Parts::of(text).is_some_and(|parts| parts.has_user_alone()) {
            return Err(BadUrl::because(USER_ALONE));
        }
        let url = Url::parse(text).map_err(|_hidden| BadUrl::because(EXPECTED))?;
        let given = Parameters::of(&url);
        given.check(of)?;
        if !is_tls && given.files != Files::default() {
            let what = format!("{} and the like are used with rediss:// only", NAMES.authorities);
            return Err(BadUrl::because(what));
        }
        if of == "cluster" && !matches!(url.path().trim_matches('/'), "" | "0") {
            return Err(BadUrl::because("a cluster has database 0 only")
                .remedy("leave the database out of the address"));
        }
        if !matches!(url.path(), "" | "/") && url.path().trim_matches('/').parse::<u32>().is_err() {
            return Err(BadUrl::because("the database is no number").remedy(EXPECTED));
        }
        let mut places = vec![Endpoint::of(&url).ok_or_else(|| BadUrl::because(EXPECTED))?];
        for node in &given.nodes {
            // Not repeated: somebody may have put a password there.
            let is_fine = |place: &Endpoint| !place.host.contains(['@', '/']);
            let bad = || {
                BadUrl::because(format!(
                    "a {NODE} cannot be used: expected {NODE}=host:port, without user and password"
                ))
            };
            let place = Endpoint::parse(node, "").filter(is_fine).ok_or_else(bad)?;
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let files = Held::by(given.files.paths());
        let tls = is_tls
            .then(|| tls::client(Verify::AuthorityAndName, &given.files, &NAMES))
            .transpose()
            .map_err(BadUrl::of_file)?;
        // Not set_scheme: it takes no other scheme of an unknown kind.
        let rest = text.replacen(scheme, "redis", 1);
        let mut rest = Url::parse(&rest).map_err(|_hidden| BadUrl::because(EXPECTED))?;
        rest.set_query(None);
        // The one that a connection begins with: SELECT, which a user may lack, is not needed for
        // it.
        if rest.path().trim_matches('/') == "0" {
            rest.set_path("");
        }
        let kind = match (of, given.service) {
            ("sentinel", Some(service)) => {
                let mut rest = rest.clone();
                rest.set_path("");
                // As in `put`.
                let _ = rest.set_username(given.sentinel_user.as_deref().unwrap_or_default());
                let _ = rest.set_password(given.sentinel_password.as_deref());
                Kind::Sentinels(Sentinels { service, rest })
            }
            ("cluster", _) => Kind::Cluster,
            _ => Kind::Server,
        };
        Ok(Self { rest, tls, files, places, kind })
    }

    /// `host:port/database`; `host:port/cluster` with the first node that it names,
    /// `host:port/service/database` with the first sentinel.
    pub(super) fn place(&self) -> String {
        let place = &self.places[0];
        let database = match self.rest.path().trim_matches('/') {
            "" => "0",
            database => database,
        };
        match &self.kind {
            Kind::Server => format!("{place}/{database}"),
            Kind::Cluster => format!("{place}/cluster"),
            Kind::Sentinels(Sentinels { service, .. }) => format!("{place}/{service}/{database}"),
        }
    }

    pub(super) fn user(&self) -> &str {
        match self.rest.username() {
            "" => "default",
            user => user,
        }
    }

    /// What fred is told: the server that the address names, or another one with its user, password
    /// and database.
    pub(super) fn at(&self, place: Option<&Endpoint>) -> String {
        let mut url = self.rest.clone();
        if let Some(place) = place {
            put(&mut url, place);
        }
        url.to_string()
    }
}

impl Sentinels {
    /// What fred is told of one of them.
    pub(super) fn at(&self, place: &Endpoint) -> String {
        let mut url = self.rest.clone();
        put(&mut url, place);
        url.to_string()
    }
}

impl Parameters {
    fn of(url: &Url) -> Self {
        let mut given = Self::default();
        for (name, value) in url.query_pairs() {
            let file =
                Some(PathBuf::from(value.as_ref())).filter(|file| !file.as_os_str().is_empty());
            let text = Some(value.as_ref().to_owned()).filter(|text| !text.is_empty());
            match name.as_ref() {
                name if name == NAMES.authorities => given.files.authorities = file,
                name if name == NAMES.certificate => given.files.certificate = file,
                name if name == NAMES.key => given.files.key = file,
                NODE => given.nodes.push(value.into_owned()),
                SERVICE => given.service = text,
                SENTINEL_USER => given.sentinel_user = text,
                SENTINEL_PASSWORD => given.sentinel_password = text,
                other => given.others.push(other.to_owned()),
            }
        }
        given
    }

    /// Whether they make sense for a server (`of` is empty), a cluster, or sentinels.
    fn check(&self, of: &str) -> Result<(), BadUrl> {
        if let Some(other) = self.others.first() {
            let other = shown(other);
            let Names { authorities, certificate, key } = NAMES;
            return Err(BadUrl::because(format!("unknown parameter{other}")).remedy(format!(
                "known ones are {authorities}, {certificate}, {key}, {NODE} for a cluster or \
                    sentinels, and for sentinels {SERVICE}, {SENTINEL_USER} and \
                    {SENTINEL_PASSWORD}"
            )));
        }
        if of.is_empty() && !self.nodes.is_empty() {
            return Err(BadUrl::because(format!(
                "{NODE} is used with redis-cluster:// and redis-sentinel:// only"
            )));
        }
        let for_sentinels = [
            (SERVICE, &self.service),
            (SENTINEL_USER, &self.sentinel_user),
            (SENTINEL_PASSWORD, &self.sentinel_password),
        ];
        match (of, &self.service) {
            ("sentinel", None) => Err(BadUrl::because(format!(
                "redis-sentinel:// needs {SERVICE}=NAME, what the sentinels call their master \
                    (SENTINEL MASTERS lists them)"
            ))),
            ("sentinel", Some(_)) => Ok(()),
            _ => match for_sentinels.into_iter().find(|(_, given)| given.is_some()) {
                Some((name, _)) => {
                    Err(BadUrl::because(format!("{name} is used with redis-sentinel:// only")))
                }
                None => Ok(()),
            },
        }
    }
}

/// A name that may be repeated. Anything else may be the end of a password.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    if is_name { format!(" {name:?}") } else { " (not repeated here)".to_owned() }
}

fn put(url: &mut Url, place: &Endpoint) {
    // Both fail only for an address without a host, which `parse` refuses.
    let _ = url.set_host(Some(&place.bracketed()));
    let _ = url.set_port(Some(place.port));
}

/// Whether an address has a parameter.
pub fn has_parameter(url: &SecretString, name: &str) -> bool {
    Url::parse(url.expose_secret())
        .is_ok_and(|url| url.query_pairs().any(|(known, _)| known == name))
}

/// Adds a parameter to an address. It takes precedence over one of that name in the address.
pub fn with_parameter(url: &SecretString, name: &str, value: &str) -> SecretString {
    // One that cannot be understood is refused later.
    let Ok(mut longer) = Url::parse(url.expose_secret()) else {
        return SecretString::from(url.expose_secret());
    };
    longer.query_pairs_mut().append_pair(name, value);
    SecretString::from(longer.to_string())
}

#[cfg(test)]
mod tests;
