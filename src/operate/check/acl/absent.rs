//! Commands that the server does not have: no permission helps. Hosted servers take some away.

use std::collections::BTreeSet;

use super::commands::{COMMANDS, MEMORY_USAGE, XADD};
use super::upkeep;
use crate::operate::check::finding::{Findings, advice};
use crate::relay::options::OutboxOptions;

const ABOUT: &str = "redis";

/// What is missing, by what it is for.
#[derive(Debug, Default)]
pub(super) struct Absent {
    appends: BTreeSet<String>,
    upkeep: BTreeSet<String>,
    memory: bool,
}

impl Absent {
    pub(super) fn take(&mut self, lacks: &[bool; COMMANDS.len()], outbox: &OutboxOptions) {
        let name = |index: usize| COMMANDS[index].rule.replace('|', " ").to_uppercase();
        self.appends.extend((0..=XADD).filter(|index| lacks[*index]).map(name));
        let wanted = upkeep::wanted(outbox).filter(|index| *index > XADD && lacks[*index]);
        self.upkeep.extend(wanted.map(name));
        self.memory |= lacks[MEMORY_USAGE];
    }

    pub(super) fn tell(&self, findings: &mut Findings) {
        let names = |of: &BTreeSet<String>| of.iter().cloned().collect::<Vec<_>>().join(", ");
        if !self.appends.is_empty() {
            let what = format!(
                "the server does not have {}, which every append needs",
                names(&self.appends)
            );
            let remedy = "use a server that has these commands under their own names";
            findings.error(ABOUT, what, advice(remedy));
        }
        if !self.upkeep.is_empty() {
            let what = format!(
                "the server does not have {}, so the relay can neither measure nor trim its \
                    streams; events are delivered",
                names(&self.upkeep)
            );
            let remedy = "watch the length of the streams yourself, so that Redis does not fill up";
            findings.warning(ABOUT, what, advice(remedy));
        }
        if self.memory {
            let what = "the server does not have MEMORY USAGE; only `outflow stream` and the \
                console need it, to show the memory of a stream";
            findings.ok(ABOUT, what);
        }
    }
}
