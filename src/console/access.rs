//! Who may come in, and what they may do: tokens, sessions, proxies, limits. `guard.rs` is the one
//! place where it is decided for every request.

mod attempts;
mod cookie;
pub(super) mod guard;
pub(super) mod login;
mod origin;
pub(super) mod paths;
mod proxy;
pub(super) mod secret;
mod sessions;
mod tokens;
mod viewer;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;

use crate::config::{Console, Role};
use attempts::Attempts;
use outflow_core::escape::hex;
use outflow_core::fault::Fault;
use secret::{Key, Tag};
use sessions::{Lifetime, Sessions};
use tokens::Tokens;

pub(super) use viewer::{By, Viewer};

/// Everybody who is let in without a name.
const ANYONE: &str = "anonymous";

/// What is known of who may come in.
pub(super) struct Access {
    key: Arc<Key>,
    tokens: Tokens,
    sessions: Sessions,
    attempts: Attempts,
}

/// Why somebody could not log in.
pub(super) enum Refused {
    /// No token is this one.
    Unknown,
    /// There were too many attempts.
    Wait(Duration),
    /// The console cannot.
    Failed(Fault),
}

impl Access {
    /// Reads the tokens.
    ///
    /// # Errors
    /// A file cannot be used.
    pub(super) fn new(config: &Console) -> Result<Self, Fault> {
        let key = Arc::new(Key::new()?);
        let tokens = Tokens::new(Arc::clone(&key));
        tokens.check(config)?;
        let (sessions, attempts) = (Sessions::new(Arc::clone(&key)), Attempts::new());
        Ok(Self { key, tokens, sessions, attempts })
    }

    /// Whoever sent these headers. `touch`: their session is used now.
    pub(super) fn viewer(
        &self,
        config: &Console,
        headers: &HeaderMap,
        peer: SocketAddr,
        port: u16,
        touch: bool,
    ) -> Option<Viewer> {
        let viewer = |name: String, role: Role, csrf: String, by: By| Viewer {
            name,
            role,
            sees_payloads: role >= config.payloads,
            csrf,
            by,
            said: None,
        };
        let is_secure = proxy::is_secure(config, headers, peer);
        if let Some((name, role)) = proxy::user(config, headers, peer) {
            let csrf = self.own_csrf("proxy", &name);
            return Some(viewer(name, role, csrf, By::Proxy));
        }
        let id = cookie::session(headers, port, is_secure);
        if let Some(tag) = id.map(|id| self.sessions.tag(id))
            && let Some((role, csrf, name)) = self.session(config, &tag, touch)
        {
            return Some(viewer(name, role, csrf, By::Session(tag)));
        }
        // Through a proxy comes somebody else, of whom nothing is known.
        let is_forwarded = proxy::is_forwarded(headers) || proxy::is_listed(config, peer);
        let is_here = peer.ip().to_canonical().is_loopback() && !is_forwarded;
        let role = config.anonymous.filter(|_| is_here)?;
        Some(viewer(ANYONE.to_owned(), role, self.own_csrf("anyone", ANYONE), By::Anyone))
    }

    fn session(&self, config: &Console, tag: &Tag, touch: bool) -> Option<(Role, String, String)> {
        let session = self.sessions.find(tag, lifetime(config), touch)?;
        let Some(role) = self.tokens.role(config, &session.name, &session.token) else {
            self.sessions.end(tag);
            return None;
        };
        Some((role, session.csrf, session.name))
    }

    /// Whether somebody who came in a while ago would still be let in, with the same rights.
    pub(super) fn still(&self, config: &Console, viewer: &Viewer) -> bool {
        let role = match &viewer.by {
            By::Session(tag) => self.session(config, tag, false).map(|(role, ..)| role),
            By::Proxy => config.proxy_header.as_ref().map(|header| header.role),
            By::Anyone => config.anonymous,
        };
        role == Some(viewer.role) && viewer.sees_payloads == (viewer.role >= config.payloads)
    }

    /// Of those who have no session that could keep one.
    fn own_csrf(&self, by: &str, name: &str) -> String {
        hex(&self.key.tag(format!("csrf {by} {name}").as_bytes()))
    }

    /// Begins a session with a token. Returns the session's id, and whose it is. `before`: the id
    /// that the browser had until now, whose session ends.
    fn log_in(
        &self,
        config: &Console,
        given: &str,
        from: IpAddr,
        before: Option<&str>,
    ) -> Result<(String, String), Refused> {
        self.attempts.take(from, Instant::now()).map_err(Refused::Wait)?;
        let owner = self.tokens.owner(config, given).ok_or(Refused::Unknown)?;
        self.attempts.give_back(from);
        if let Some(before) = before {
            self.sessions.end(&self.sessions.tag(before));
        }
        let begun = self.sessions.begin(owner.name.clone(), owner.tag, lifetime(config));
        begun.map(|id| (id, owner.name)).map_err(Refused::Failed)
    }

    fn log_out(&self, viewer: &Viewer) {
        if let By::Session(tag) = &viewer.by {
            self.sessions.end(tag);
        }
    }

    /// Whether a form is one of theirs.
    fn is_csrf_of(&self, viewer: &Viewer, given: &str) -> bool {
        self.key.fits(given.as_bytes(), &self.key.tag(viewer.csrf.as_bytes()))
    }
}

fn lifetime(config: &Console) -> Lifetime {
    Lifetime { idle: config.session_idle, most: config.session_max }
}
