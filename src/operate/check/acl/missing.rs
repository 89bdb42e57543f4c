//! What a user lacks: the rules that add it. Pure.

use std::collections::BTreeSet;

use super::commands::COMMANDS;
use crate::operate::check::finding::{Remedy, redis_line};

/// A key that the relay uses.
pub(super) struct Key {
    pub(super) name: String,
    /// What the ACL says for it: all keys of a pattern, or leave to write to them only.
    pub(super) rule: String,
    pub(super) kind: Kind,
    /// Whether scripts declare it, for which they need to read it too.
    pub(super) is_declared: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Journal,
    Stream,
    /// A stream that may be used one day.
    Probe,
}

/// What is missing, as the rules that add it. Kept apart, since a pattern for a user who may use
/// all keys is refused, and with it all that is on the line.
#[derive(Debug, Default)]
pub(super) struct Missing {
    pub(super) commands: BTreeSet<String>,
    pub(super) patterns: BTreeSet<String>,
}

/// Whether it is the command or the key: a command that is allowed on another key is allowed, and a
/// key on which another such command is allowed may be used. If neither is so, it may be both.
pub(super) fn cause(
    index: usize,
    key: &Key,
    may: &[bool; COMMANDS.len()],
    allowed: &[[bool; COMMANDS.len()]],
) -> Missing {
    let command = &COMMANDS[index];
    let reads = COMMANDS.iter().zip(may).any(|(other, may)| *may && other.reads);
    let writes = COMMANDS.iter().zip(may).any(|(other, may)| *may && other.writes);
    let key_is_open = (reads || !command.reads) && (writes || !command.writes);
    let command_is_allowed = allowed.iter().any(|may| may[index]);
    let mut missing = Missing::default();
    if !command_is_allowed {
        missing.commands.insert(format!("+{}", command.rule));
    }
    if command_is_allowed || !key_is_open {
        missing.patterns.insert(key.rule.clone());
    }
    missing
}

impl Missing {
    pub(super) fn take(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.patterns.extend(other.patterns);
    }

    pub(super) fn lines(&self, user: &str) -> Vec<Remedy> {
        let line = |rules: &BTreeSet<String>| {
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            (!rules.is_empty())
                .then(|| redis_line(format!("ACL SETUSER {user} {}", rules.join(" "))))
        };
        [&self.commands, &self.patterns].into_iter().filter_map(line).collect()
    }
}
