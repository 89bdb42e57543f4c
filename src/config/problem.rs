//! What is wrong with a configuration: where, which key, what is there (unless secret), what is
//! expected.

use std::fmt;

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Value};

use outflow_core::fault::Fault;

use super::example::{ADDRESSES, EXAMPLE, SERVERS};

/// One thing to mend in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File or environment variable; `None` for a default.
    pub source: Option<String>,
    /// The key, with dots, such as `outbox.0.batch_rows`.
    pub key: String,
    /// What is wrong and what is expected.
    pub message: String,
    /// What to do, if the message does not say it.
    pub remedy: Option<String>,
}

impl std::error::Error for Problem {}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let remedy = problem.remedy.clone();
        let what = Problem { remedy: None, ..problem.clone() }.to_string();
        let fault = Self::configuration(what).because(problem);
        match remedy {
            Some(remedy) => fault.remedy(remedy),
            None => fault,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { source: None, key: key.into(), message: message.into(), remedy: None }
    }

    /// Of a value of `key` that cannot be used.
    pub(super) fn of_fault(key: impl Into<String>, fault: impl Into<Fault>) -> Self {
        let fault = fault.into();
        let remedy = fault.to_do().map(str::to_owned);
        Self { remedy, ..Self::new(key, fault.what()) }
    }

    /// The same, with what to do.
    pub(super) fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// The same, for a key below `path`.
    pub(super) fn below(self, path: &str) -> Self {
        Self { key: join(path, &self.key), ..self }
    }

    /// The same, of a console whose address was given elsewhere.
    #[must_use]
    pub fn in_console(self) -> Self {
        self.below("console")
    }

    /// figment's own text repeats the value that was found, a mistyped password among them.
    pub(super) fn from_figment(error: &figment::Error) -> Self {
        let mut key = error.path.join(".");
        let message = match &error.kind {
            Kind::UnknownField(name, known) => {
                key = if key.ends_with(name.as_str()) { key } else { join(&key, name) };
                unknown(name, known)
            }
            Kind::MissingField(name) => {
                key = join(&key, name);
                "is missing".to_owned()
            }
            Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
                format!("found {}, expected {}", shown(found, &key), in_words(expected, &key))
            }
            Kind::UnknownVariant(found, known) if !found.contains("://") => {
                format!("found {found:?}, expected one of {}", known.join(", "))
            }
            Kind::Message(message)
                if !is_secret(&key) && !without_snippet(message).contains("://") =>
            {
                without_snippet(message)
            }
            Kind::Message(_) | Kind::UnknownVariant(..) => "cannot be used".to_owned(),
            Kind::InvalidLength(..)
            | Kind::DuplicateField(_)
            | Kind::ISizeOutOfRange(_)
            | Kind::USizeOutOfRange(_)
            | Kind::Unsupported(_)
            | Kind::UnsupportedKey(..) => error.kind.to_string(),
        };
        let source = error.metadata.as_ref().and_then(|metadata| origin(metadata, &key));
        let is_top = matches!(&error.kind, Kind::UnknownField(..)) && !key.contains('.');
        let variable = source
            .as_deref()
            .filter(|source| is_top && *source == variable(&key))
            .and_then(near_variable);
        let message = variable.map_or(message, |near| format!("unknown key; did you mean {near}?"));
        Self { source, key, message, remedy: None }
    }
}

/// The file or the environment variable that a value came from; `None` for a default.
pub(super) fn origin(metadata: &figment::Metadata, key: &str) -> Option<String> {
    match &metadata.source {
        Some(figment::Source::File(path)) => Some(path.display().to_string()),
        _ if metadata.name.contains("environment") => Some(variable(key)),
        _ => None,
    }
}

/// The environment variable of a key.
fn variable(key: &str) -> String {
    format!("OUTFLOW_{}", key.replace('.', "__").to_uppercase())
}

/// An address, or the section that it belongs into: it may have been given in the section's place.
/// A token may have been given in the place of its file.
fn is_secret(key: &str) -> bool {
    key.ends_with("url") || SERVERS.contains(&key) || key.starts_with("console.tokens")
}

/// serde names our types.
fn in_words(expected: &str, key: &str) -> String {
    match expected.strip_prefix("struct ") {
        Some(_) if SERVERS.contains(&key) => {
            format!("a section; the address is {key}.url, or {}__URL", variable(key))
        }
        Some(_) => "a section".to_owned(),
        None => expected.to_owned(),
    }
}

fn shown(found: &Actual, key: &str) -> String {
    let text = found.to_string();
    if is_secret(key) || text.contains("://") { "something else".to_owned() } else { text }
}

/// The variable that somebody may have meant: most often an underscore is missing.
fn near_variable(name: &str) -> Option<String> {
    fn names(path: &str, dict: &Dict, found: &mut Vec<String>) {
        for (key, value) in dict {
            let key = join(path, key);
            match value {
                Value::Dict(_, below) => names(&key, below, found),
                _ => found.push(variable(&key)),
            }
        }
    }
    let example: Dict = Figment::from(Toml::string(EXAMPLE)).extract().ok()?;
    let mut found: Vec<String> =
        ADDRESSES.iter().map(|key| variable(&format!("{key}_file"))).collect();
    names("", &example, &mut found);
    let near =
        found.into_iter().map(|known| (strsim::damerau_levenshtein(name, &known), known)).min()?;
    (near.0 <= 3).then_some(near.1)
}

fn unknown(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match near {
        Some((distance, near)) if distance <= name.len().max(3) / 3 => {
            format!("unknown key; did you mean {near:?}?")
        }
        _ => format!("unknown key; known ones are {}", known.join(", ")),
    }
}

/// A TOML syntax error quotes the line, which may hold a password: only where and why is kept.
fn without_snippet(message: &str) -> String {
    let is_snippet = |line: &&str| {
        line.split_once('|').is_some_and(|(gutter, _)| {
            gutter.trim().parse().is_ok_and(|_: u32| true) || gutter.trim().is_empty()
        })
    };
    message.lines().filter(|line| !is_snippet(line)).collect::<Vec<_>>().join(": ")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
