//! One type for everything that went wrong: what callers decide by, what people read, and what it
//! came from.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Something went wrong: which kind of thing, what, and what to do about it.
///
/// Programs decide by [`Fault::kind`], never by a text. Display prints `what; remedy` for people.
/// What the fault came from is its [`Error::source`]; `what` has its words already, so that nobody
/// prints both.
#[derive(Debug, Clone)]
pub struct Fault {
    kind: Kind,
    what: String,
    remedy: Option<String>,
    /// Shared, because a connection tells everybody who waits for it the same fault.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What callers decide by: whether to wait or to give up, the exit code, the level of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Our own configuration cannot be used: an address, a file, a setting.
    Configuration,
    /// A server knows us not, or not for this: a wrong password, no such database, a privilege that
    /// is missing.
    Refused,
    /// A server takes no writes: a standby, or a database that is read-only for this role.
    ReadOnly,
    /// TLS did not come about, or not as it was asked for.
    Insecure,
    /// What is in a server is not what we need: a table, a column, the schema, a pooler between us.
    Unfit,
    /// A server answers and gives no session: it is full, or closed to connections. Somebody must
    /// act there, and then it works.
    Unavailable,
    /// A server answers that it is starting or stopping: that passes by itself.
    NotReady,
    /// Nobody answers.
    Unreachable,
    /// The work itself failed: a statement, a file, a reply.
    Failed,
}

impl Kind {
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

    /// Its name for programs. A closed set: it is a field of `outflow check --json`.
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

    /// Whether the same may work later without a change of the configuration, of rights or of
    /// tables.
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

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fault {
    /// A fault, with what failed and why.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), remedy: None, source: None }
    }

    /// Of [`Kind::Configuration`].
    pub fn configuration(what: impl Into<String>) -> Self {
        Self::new(Kind::Configuration, what)
    }

    /// Of [`Kind::Unreachable`].
    pub fn unreachable(what: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, what)
    }

    /// Of [`Kind::Failed`].
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed, what)
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The same, with the error that it came from. `what` must have that error's words.
    #[must_use]
    pub fn because(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// The same, named after where it happened: `place: what`.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { what: format!("{place}: {}", self.what), ..self }
    }

    /// The same with another kind, where a caller knows better what it means.
    #[must_use]
    pub fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// What to decide by.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What failed and why, without what to do.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it, if that is known where it happened.
    pub fn to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// What it came from, if that is of this type.
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

/// The same for whoever reads it. What it came from is not compared: few errors can be.
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
        let fault = Fault::new(Kind::Refused, "password authentication failed");
        assert_eq!(fault.to_string(), "password authentication failed");
        let placed = fault.at("db:5432").at("postgres.url").remedy("correct the password");
        assert_eq!(
            placed.to_string(),
            "postgres.url: db:5432: password authentication failed; correct the password"
        );
        assert_eq!(placed.kind(), Kind::Refused);
        assert_eq!(placed.what(), "postgres.url: db:5432: password authentication failed");
        assert_eq!(placed.to_do(), Some("correct the password"));
        assert_eq!(placed.of_kind(Kind::Failed).kind(), Kind::Failed);
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
        let kept = outer.clone().at("here").remedy("do").of_kind(Kind::Unfit);
        assert!(kept.source().is_some());
        assert!(Fault::failed("alone").source().is_none());
    }

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        assert!(names.iter().all(|name| is_name(name)), "{names:?}");
    }
}
