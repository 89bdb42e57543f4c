//! One error type for every part: the kind that a program decides by, the texts for people, and the
//! error underneath.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What failed, why, and what to do about it.
///
/// Programs decide by [`Fault::kind`], never by a text. `Display` prints `what; remedy` for people.
/// [`Error::source`] is the error underneath. `what` already contains its text, so print one of
/// them, not both.
#[derive(Debug, Clone)]
pub struct Fault {
    kind: FaultKind,
    what: String,
    remedy: Option<String>,
    /// Shared, because a connection reports the same fault to every task that waits for it.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kind of a fault. It decides whether to wait or to give up, the exit status, and the level of
/// a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A setting, an address or a file of this program is wrong.
    Configuration,
    /// A server refuses the login, or a privilege is missing: a wrong password, an unknown
    /// database, a missing grant.
    Refused,
    /// A server accepts no writes: a standby, or a database that is read-only for this role.
    ReadOnly,
    /// The TLS handshake failed, or the connection is not as secure as configured.
    Insecure,
    /// A table, a column, the schema, a setting or a pooler does not meet the requirements.
    Unfit,
    /// A server answers but cannot do it now: it is full, closed to connections, or a lock or a
    /// time limit was in the way. It may work later.
    Unavailable,
    /// A server is starting or stopping. This passes by itself.
    NotReady,
    /// Nothing answers.
    Unreachable,
    /// A statement, a file operation or a reply failed.
    Failed,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Configuration,
        Self::Refused,
        Self::ReadOnly,
        Self::Insecure,
        Self::Unfit,
        Self::Unavailable,
        Self::NotReady,
        Self::Unreachable,
        Self::Failed,
    ];

    /// The name for programs, from a closed set: the field `kind` of `outflow check --json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Refused => "refused",
            Self::ReadOnly => "read_only",
            Self::Insecure => "insecure",
            Self::Unfit => "unfit",
            Self::Unavailable => "unavailable",
            Self::NotReady => "not_ready",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }

    /// Whether the same attempt may succeed later, although nobody changes the configuration,
    /// privileges or tables.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Unavailable | Self::NotReady | Self::Unreachable => true,
            Self::Configuration
            | Self::Refused
            | Self::ReadOnly
            | Self::Insecure
            | Self::Unfit
            | Self::Failed => false,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fault {
    /// A fault of this kind. `what` says what failed and why.
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), remedy: None, source: None }
    }

    /// A fault of [`FaultKind::Configuration`].
    pub fn configuration(what: impl Into<String>) -> Self {
        Self::new(FaultKind::Configuration, what)
    }

    /// A fault of [`FaultKind::Unreachable`].
    pub fn unreachable(what: impl Into<String>) -> Self {
        Self::new(FaultKind::Unreachable, what)
    }

    /// A fault of [`FaultKind::Failed`].
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(FaultKind::Failed, what)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// Adds the error underneath. `what` must contain that error's text.
    #[must_use]
    pub fn because(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// Puts the place where it happened before the text: `place: what`.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }

    /// Changes the kind, where a caller knows better what the fault means.
    #[must_use]
    pub fn of_kind(self, kind: FaultKind) -> Self {
        Self { kind, ..self }
    }

    /// The kind, to decide by.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// What failed and why, without the remedy.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it, if the part that reported the fault knows it.
    pub fn to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// The error underneath, if it has this type.
    pub fn cause<E: Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref().and_then(|source| source.downcast_ref::<E>())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Compares kind and texts. Few errors can be compared, so the source is not.
impl PartialEq for Fault {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.what, &self.remedy) == (other.kind, &other.what, &other.remedy)
    }
}

impl Eq for Fault {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io;

    use super::*;

    #[test]
    fn people_read_what_and_what_to_do() {
        let fault = Fault::new(FaultKind::Refused, "password authentication failed");
        assert_eq!(fault.to_string(), "password authentication failed");
        let placed = fault.at("db:5432").at("postgres.url").remedy("correct the password");
        assert_eq!(
            placed.to_string(),
            "postgres.url: db:5432: password authentication failed; correct the password"
        );
        assert_eq!(placed.kind(), FaultKind::Refused);
        assert_eq!(placed.what(), "postgres.url: db:5432: password authentication failed");
        assert_eq!(placed.to_do(), Some("correct the password"));
        assert_eq!(placed.of_kind(FaultKind::Failed).kind(), FaultKind::Failed);
    }

    /// A semicolon in the words of a server is not the beginning of a remedy.
    #[test]
    fn no_text_is_taken_apart() {
        let fault = Fault::failed("first; second");
        assert_eq!((fault.what(), fault.to_do()), ("first; second", None));
    }

    #[test]
    fn the_chain_of_causes_is_kept() {
        let inner = Fault::unreachable("no route").because(io::Error::other("the cable"));
        let outer = Fault::failed("no backup: no route").because(inner.clone());
        let mut chain = Vec::new();
        let mut next: Option<&dyn Error> = Some(&outer);
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        assert_eq!(chain, ["no backup: no route", "no route", "the cable"]);
        assert_eq!(outer.cause::<Fault>(), Some(&inner));
        assert!(outer.cause::<io::Error>().is_none(), "not the nearest one");
        let kept = outer.clone().at("here").remedy("do").of_kind(FaultKind::Unfit);
        assert!(kept.source().is_some());
        assert!(Fault::failed("alone").source().is_none());
    }

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = FaultKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), FaultKind::ALL.len());
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(names.iter().all(|name| is_name(name)), "{names:?}");
    }
}
