//! Who looks at a page.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::secret::Tag;
use crate::config::Role;
use crate::console::said::Said;

/// Who looks, what they may do, and what their forms must carry. Every page has one: it is an
/// extractor, and the guard puts it there.
#[derive(Debug, Clone)]
pub(in crate::console) struct Viewer {
    /// Name of the token, the user that a proxy names, or `anonymous`.
    pub(in crate::console) name: String,
    /// What they may do. Only the guard decides by it whether a request is answered; pages decide
    /// which buttons they show.
    pub(in crate::console) role: Role,
    /// Whether payloads and headers of events are shown to them.
    pub(in crate::console) sees_payloads: bool,
    /// What every form carries, as `csrf`.
    pub(in crate::console) csrf: String,
    /// How they came in.
    pub(in crate::console) by: By,
    /// The result of what they did just now.
    pub(in crate::console) said: Option<Said>,
}

/// How somebody came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console) enum By {
    /// Logged in with a token.
    Session(Tag),
    /// A trusted proxy names them.
    Proxy,
    /// Everybody may come in.
    Anyone,
}

impl Viewer {
    /// Whether they may act, so whether a page shows them buttons.
    pub(in crate::console) fn may_operate(&self) -> bool {
        self.role == Role::Operate
    }
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        // Without one the route is not behind the guard.
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}
