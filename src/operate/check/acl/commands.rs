//! The commands of the relay, and how Redis is asked about each.

/// A command that the scripts run, or that runs the scripts.
pub(super) struct Command {
    pub(super) name: &'static str,
    /// What an ACL says for it.
    pub(super) rule: &'static str,
    /// Words that make it a well-formed command, before and after the key; `None`: it has no key.
    pub(super) before: &'static [&'static str],
    pub(super) after: Option<&'static [&'static str]>,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

const fn command(rule: &'static str, after: &'static [&'static str], writes: bool) -> Command {
    Command { name: rule, rule, before: &[], after: Some(after), reads: !writes, writes }
}

const fn script(rule: &'static str) -> Command {
    Command { before: &["return 1", "1"], reads: true, ..command(rule, &[], true) }
}

const fn xinfo(rule: &'static str, part: &'static [&'static str], group: &'static str) -> Command {
    let after: &[&str] = if group.is_empty() { &[] } else { &["g"] };
    Command { name: "xinfo", before: part, ..command(rule, after, false) }
}

/// The first are for the journal, and so are those that run scripts. XADD is for streams, and those
/// behind it are for looking at streams and trimming them. The last one is for `outflow stream`.
pub(super) const COMMANDS: [Command; 17] = [
    command("hset", &["f", "v"], true),
    command("hmget", &["f"], false),
    command("hget", &["f"], false),
    command("hdel", &["f"], true),
    command("hgetall", &[], false),
    command("hkeys", &[], false),
    script("evalsha"),
    script("eval"),
    command("xadd", &["*", "f", "v"], true),
    command("xlen", &[], false),
    xinfo("xinfo|groups", &["groups"], ""),
    command("xpending", &["g"], false),
    command("xrange", &["-", "+"], false),
    Command { after: None, reads: false, ..command("time", &[], false) },
    xinfo("xinfo|consumers", &["consumers"], "g"),
    command("xtrim", &["maxlen", "1"], true),
    Command { name: "memory", before: &["usage"], ..command("memory|usage", &[], false) },
];
/// Where they are.
pub(super) const XADD: usize = 8;
pub(super) const XINFO_CONSUMERS: usize = 14;
pub(super) const XTRIM: usize = 15;
pub(super) const MEMORY_USAGE: usize = 16;
/// The first of those that run scripts, which come before it.
pub(super) const EVALSHA: usize = XADD - 2;
