//! What a check finds, and what to do about it.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};

use super::keeps::Keeps;
use crate::config::Config;
use crate::observe::metrics::StreamNote;
use crate::relay::options::OutboxOptions;
use outflow_core::escape::{WHOLE, printable};
use outflow_core::fault::{Fault, FaultKind};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// For programs: why it must be fixed, or why that is unknown. `None` for `Ok` and `Warning`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "kind_name")]
    pub kind: Option<FaultKind>,
    /// What it is about: `configuration`, `postgres`, `redis`, or an outbox by its name.
    pub about: String,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
}

/// How a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for ever.
    Warning,
    /// It must be mended first.
    Error,
    /// A server does not answer: whether anything is to be mended is not known.
    Unreachable,
}

/// What to do about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// To be run in psql as it is, by a role that may.
    Sql(String),
    /// To be run in redis-cli as it is, by a user who may.
    Redis {
        /// The command.
        line: String,
        /// What must follow it, so that a restart of the server does not undo it.
        lasting: String,
    },
    /// In words.
    Advice(String),
}

/// All findings of a check.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    seen: HashSet<Finding>,
    /// How Redis keeps what is changed in it.
    pub(super) keeps: Keeps,
}

/// What the database told about an outbox that Redis must be asked about.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Names the journal.
    pub(super) journal: Option<String>,
    /// Streams of rows that wait.
    pub(super) streams: Vec<String>,
    /// What the relays at work say of streams and their groups.
    pub(super) notes: Vec<StreamNote>,
}

impl Findings {
    /// A configuration that could be read.
    pub fn of_configuration(config: &Config) -> Self {
        let mut findings = Self::default();
        let outboxes: Vec<String> = config
            .outboxes
            .iter()
            .map(|outbox| format!("{} ({})", outbox.name, outbox.table))
            .collect();
        findings.ok("configuration", format!("valid; outboxes: {}", outboxes.join(", ")));
        for file in &config.secret_files {
            findings.ok("configuration", format!("{} is closed to others", file.display()));
        }
        for notice in &config.notices {
            findings.warning("configuration", &notice.what, advice(&notice.remedy));
        }
        findings
    }

    /// The findings in the order in which they were found.
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// The gravest level.
    pub fn level(&self) -> Level {
        let has = |level| self.list.iter().any(|finding| finding.level == level);
        [Level::Error, Level::Unreachable, Level::Warning]
            .into_iter()
            .find(|level| has(*level))
            .unwrap_or(Level::Ok)
    }

    fn add(
        &mut self,
        (level, kind): (Level, Option<FaultKind>),
        about: &str,
        what: impl Into<String>,
        remedy: Option<Remedy>,
    ) {
        let remedy = remedy.map(|remedy| match remedy {
            Remedy::Redis { line, .. } => match self.keeps.instead_of(&line) {
                Some(words) => Remedy::Advice(words),
                None => Remedy::Redis { lasting: self.keeps.lasting(&line), line },
            },
            Remedy::Sql(_) | Remedy::Advice(_) => remedy,
        });
        let finding = Finding { level, kind, about: about.to_owned(), what: what.into(), remedy };
        // Two outboxes lack the same privilege: it is granted once.
        if self.seen.insert(finding.clone()) {
            self.list.push(finding);
        }
    }

    pub(super) fn ok(&mut self, about: &str, what: impl Into<String>) {
        self.add((Level::Ok, None), about, what, None);
    }

    pub(super) fn warning(&mut self, about: &str, what: impl Into<String>, remedy: Remedy) {
        self.add((Level::Warning, None), about, what, Some(remedy));
    }

    /// What a server has is not what the relay needs.
    pub(super) fn error(&mut self, about: &str, what: impl Into<String>, remedy: Remedy) {
        self.wrong(FaultKind::Unfit, about, what, remedy);
    }

    /// A privilege or a permission is missing.
    pub(super) fn refused(&mut self, about: &str, what: impl Into<String>, remedy: Remedy) {
        self.wrong(FaultKind::Refused, about, what, remedy);
    }

    /// Something is wrong; the level follows from the kind.
    pub(super) fn wrong(
        &mut self,
        kind: FaultKind,
        about: &str,
        what: impl Into<String>,
        remedy: Remedy,
    ) {
        self.add((level(kind), Some(kind)), about, what, Some(remedy));
    }

    /// What a part has reported, with its own remedy or else this one.
    pub(super) fn fault(&mut self, about: &str, fault: &Fault, otherwise: &str) {
        let remedy = advice(fault.to_do().unwrap_or(otherwise));
        self.wrong(fault.kind(), about, fault.what(), remedy);
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.level {
            Level::Ok => '✓',
            Level::Warning => '!',
            Level::Error | Level::Unreachable => '✗',
        };
        // One line: names of streams, keys and tables are what others wrote.
        let shown = |text: &str| printable(text, WHOLE);
        write!(f, "{mark} {}: {}: {}", self.level, shown(&self.about), shown(&self.what))?;
        match &self.remedy {
            None => Ok(()),
            Some(Remedy::Sql(statement)) => write!(f, "; run in psql: {}", shown(statement)),
            Some(Remedy::Redis { line, lasting }) => {
                write!(
                    f,
                    "; run in redis-cli: {}; to keep it over a restart: {}",
                    shown(line),
                    shown(lasting)
                )
            }
            Some(Remedy::Advice(advice)) => write!(f, "; {}", shown(advice)),
        }
    }
}

/// The same words as in JSON.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Unreachable => "unreachable",
        })
    }
}

impl Serialize for Remedy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, text) = match self {
            Self::Sql(text) => ("sql", text),
            Self::Redis { line, .. } => ("redis", line),
            Self::Advice(text) => ("advice", text),
        };
        let lasting = if let Self::Redis { lasting, .. } = self { Some(lasting) } else { None };
        let mut remedy =
            serializer.serialize_struct("Remedy", 2 + usize::from(lasting.is_some()))?;
        remedy.serialize_field("kind", kind)?;
        remedy.serialize_field("text", text)?;
        if let Some(lasting) = lasting {
            remedy.serialize_field("lasting", lasting)?;
        }
        remedy.end()
    }
}

/// An outbox as findings name it.
pub(super) fn about(outbox: &OutboxOptions) -> String {
    format!("outbox {}", outbox.name)
}

/// Whether somebody must act first, or nobody can tell because there is no answer.
fn level(kind: FaultKind) -> Level {
    match kind {
        FaultKind::NotReady | FaultKind::Unreachable => Level::Unreachable,
        FaultKind::Configuration
        | FaultKind::Refused
        | FaultKind::ReadOnly
        | FaultKind::Insecure
        | FaultKind::Unfit
        | FaultKind::Unavailable
        | FaultKind::Failed => Level::Error,
    }
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands the field on by reference"
)]
fn kind_name<S: Serializer>(kind: &Option<FaultKind>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.map(FaultKind::as_str).unwrap_or_default())
}

/// What must follow it is known where findings are collected.
pub(super) fn redis_line(line: impl Into<String>) -> Remedy {
    Remedy::Redis { line: line.into(), lasting: String::new() }
}

pub(super) fn advice(text: impl Into<String>) -> Remedy {
    Remedy::Advice(text.into())
}
