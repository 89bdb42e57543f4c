//! What is to be done so that a restart of Redis does not undo what was changed while it runs.
//! Pure.

/// How a server keeps its settings and users; by default not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Keeps {
    /// Whether it was started with a configuration file.
    pub(super) config_file: Option<bool>,
    /// Whether its users are in a file of their own.
    pub(super) acl_file: Option<bool>,
    /// There are other nodes, and this is no matter of replication.
    pub(super) is_one_of_some: bool,
    /// It does not have `CONFIG`: its settings are made where it is managed.
    pub(super) lacks_config: bool,
    /// It does not have `ACL`: its users are made where it is managed.
    pub(super) lacks_acl: bool,
}

/// Until its first rewrite has ended, an append-only file holds nothing, and Redis does not load
/// its snapshot beside it.
pub(super) const COMPLETE: &str = "wait until INFO persistence has aof_rewrite_in_progress:0 and \
    aof_rewrite_scheduled:0 (a restart before would start empty)";

impl Keeps {
    /// What to do in place of a line for redis-cli whose command the server does not have.
    pub(super) fn instead_of(self, line: &str) -> Option<String> {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["CONFIG", "SET", name, value] if self.lacks_config => Some(format!(
                "set {name} to {value} where this server is managed, because it does not have \
                    CONFIG"
            )),
            ["ACL", "SETUSER", user, rules] if self.lacks_acl => Some(format!(
                "give the user {user} these rules where the users of this server are managed, \
                    because it does not have ACL: {rules}"
            )),
            _ => None,
        }
    }

    /// What must follow a line for redis-cli.
    pub(super) fn lasting(self, line: &str) -> String {
        let mut words = line.split(' ');
        let lasting = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("CONFIG"), Some("SET"), Some("appendonly"), Some(value)) => {
                format!("{COMPLETE}, then {}", self.setting("appendonly", value))
            }
            (Some("CONFIG"), Some("SET"), Some(name), Some(value)) => self.setting(name, value),
            _ => self.users().to_owned(),
        };
        if self.is_one_of_some { format!("{lasting}; do both on every node") } else { lasting }
    }

    fn setting(self, name: &str, value: &str) -> String {
        match self.config_file {
            Some(true) => {
                format!(
                    "CONFIG REWRITE; if the server's arguments set {name}, change it there, for \
                        they win"
                )
            }
            Some(false) => format!(
                "add --{name} {value} to the server's arguments; it has no configuration file, so \
                    that CONFIG REWRITE fails"
            ),
            None => format!(
                "CONFIG REWRITE; if the server has no configuration file, or its arguments set \
                    {name}, \
                 add --{name} {value} to its arguments"
            ),
        }
    }

    fn users(self) -> &'static str {
        match (self.acl_file, self.config_file) {
            (Some(true), _) => "ACL SAVE",
            (Some(false), Some(true)) => "CONFIG REWRITE",
            (Some(false), Some(false)) => {
                "write the lines of ACL LIST to a file, and add --aclfile FILE to the server's \
                    arguments; it has neither an \
                 ACL file nor a configuration file, so that ACL SAVE and CONFIG REWRITE fail"
            }
            (None, Some(true)) => {
                "ACL SAVE; if that fails because there is no ACL file, CONFIG REWRITE"
            }
            (None, Some(false)) => {
                "ACL SAVE; if that fails because there is no ACL file, write the lines of ACL \
                    LIST to a file, and add \
                 --aclfile FILE to the server's arguments"
            }
            (Some(false), None) => {
                "CONFIG REWRITE; if that fails because there is no configuration file, write the \
                    lines of ACL LIST to a file, \
                 and add --aclfile FILE to the server's arguments"
            }
            (None, None) => {
                "ACL SAVE; if that fails because there is no ACL file, CONFIG REWRITE; if that \
                    fails too, write the lines of \
                 ACL LIST to a file, and add --aclfile FILE to the server's arguments"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_the_server_cannot_run_is_told_in_words() {
        let (set, user) = ("CONFIG SET appendonly yes", "ACL SETUSER relay +hset ~outflow:*");
        let no_config = Keeps { lacks_config: true, ..Keeps::default() };
        let words = no_config.instead_of(set).expect("it has no CONFIG");
        assert!(words.starts_with("set appendonly to yes where this server is managed"), "{words}");
        assert_eq!(no_config.instead_of(user), None, "it has ACL");
        let no_acl = Keeps { lacks_acl: true, ..Keeps::default() };
        let words = no_acl.instead_of(user).expect("it has no ACL");
        assert!(words.contains("user relay") && words.ends_with(": +hset ~outflow:*"), "{words}");
        assert_eq!(no_acl.instead_of(set), None, "it has CONFIG");
    }

    #[test]
    fn what_follows_a_line_is_what_the_server_can_do() {
        let known = |config_file, acl_file| Keeps { config_file, acl_file, ..Keeps::default() };
        let (set, user) = ("CONFIG SET maxmemory-policy noeviction", "ACL SETUSER relay +ping");
        let table = [
            (
                known(Some(true), Some(true)),
                set,
                "CONFIG REWRITE; if the server's arguments set maxmemory-policy",
            ),
            (
                known(Some(false), Some(true)),
                set,
                "add --maxmemory-policy noeviction to the server's arguments",
            ),
            (known(None, None), set, "CONFIG REWRITE; if the server has no configuration file"),
            (known(Some(true), None), "CONFIG SET appendonly yes", "wait until INFO persistence"),
            (known(Some(false), Some(true)), user, "ACL SAVE"),
            (known(Some(true), Some(false)), user, "CONFIG REWRITE"),
            (known(Some(false), Some(false)), user, "write the lines of ACL LIST to a file"),
            (
                known(Some(true), None),
                user,
                "ACL SAVE; if that fails because there is no ACL file, CONFIG REWRITE",
            ),
            (
                known(None, None),
                user,
                "ACL SAVE; if that fails because there is no ACL file, CONFIG REWRITE; if that",
            ),
        ];
        for (keeps, line, expected) in table {
            let lasting = keeps.lasting(line);
            assert!(lasting.starts_with(expected), "{keeps:?} {line}: {lasting}");
            let one_of_some = Keeps { is_one_of_some: true, ..keeps }.lasting(line);
            assert_eq!(one_of_some, format!("{lasting}; do both on every node"));
        }
    }
}
