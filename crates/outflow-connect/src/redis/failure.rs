//! Why there is no reply.

use outflow_core::fault::{Fault, FaultKind};

/// Why a command has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Redis answered with an error: a definite outcome, nothing of the command was done unless it
    /// says so itself.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// There was no connection to send it on: nothing was done.
    #[error("no connection to Redis: {0}")]
    NotSent(#[source] Fault),
    /// It may have been done, or not, or it may still be done later: a timeout or a connection lost
    /// in between.
    #[error("no answer from Redis: {0}")]
    Unknown(String),
}

impl Failure {
    /// A refusal in Redis's words, without the arguments that it repeats of a command that it does
    /// not know: a script's may be events, and no two messages would be the same.
    pub(super) fn refused(message: &str) -> Self {
        Self::Refused(without_arguments(message).to_owned())
    }

    /// The error code of a refusal (`WRONGTYPE`, `OOM`, `BUSYGROUP` …), which is its first word.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(message) => message.split_whitespace().next(),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// Whether the user may not run the command, or not on this key: see
    /// [`ServerError::is_forbidden`].
    pub fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused(message) if ServerError(message.clone()).is_forbidden())
    }

    /// Whether the server does not have the command, so that nothing was done: see
    /// [`ServerError::is_unknown_command`].
    pub fn is_unknown_command(&self) -> bool {
        matches!(self, Self::Refused(message) if ServerError(message.clone()).is_unknown_command())
    }

    /// Whether the command cannot be had: the user may not run it, or the server does not have it.
    /// Asking again is of no use until somebody changes one of them.
    pub fn is_withheld(&self) -> bool {
        self.is_forbidden() || self.is_unknown_command()
    }

    /// Whether Redis refuses the credentials of the connection: it wants some and the address has
    /// none (`NOAUTH`), or they are wrong (`WRONGPASS`).
    pub fn is_login_refused(&self) -> bool {
        let refusal = match self {
            Self::Refused(message) => Some(message.as_str()),
            Self::NotSent(fault) => fault.cause::<ServerError>().map(|error| error.0.as_str()),
            Self::Unknown(_) => None,
        };
        let code = refusal.and_then(|message| message.split_whitespace().next());
        matches!(code, Some("NOAUTH" | "WRONGPASS"))
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(message) => {
                let error = ServerError(message);
                Self::new(error.kind(), format!("Redis refused: {error}")).because(error)
            }
            Failure::NotSent(fault) => fault.at("no connection to Redis"),
            Failure::Unknown(reason) => {
                Self::unreachable(format!("no answer from Redis: {reason}"))
            }
        }
    }
}

/// An error that Redis answered with, in its own words, of which the first is its code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ServerError(String);

impl ServerError {
    /// The reason why there is no connection, if Redis gave it. fred hands on no more than a text,
    /// its own reasons among them, which do not begin with a word in capitals.
    pub(super) fn of(reason: &str) -> Option<Self> {
        let code = reason.split_whitespace().next()?;
        let is_code = code.len() > 1 && code.bytes().all(|letter| letter.is_ascii_uppercase());
        is_code.then(|| Self(without_arguments(reason).to_owned()))
    }

    /// `WRONGPASS`, `NOPERM`, `LOADING` …; `ERR` of everything for which Redis has no code.
    pub fn code(&self) -> &str {
        self.0.split_whitespace().next().unwrap_or_default()
    }

    /// Whether it has these words. For the code `ERR` only, which says nothing by itself.
    pub fn says(&self, words: &str) -> bool {
        self.0.contains(words)
    }

    /// Whether the user may not run a command, or not on this key. Redis has a code for it only
    /// outside of scripts.
    pub fn is_forbidden(&self) -> bool {
        self.code() == "NOPERM"
            || self.code() == "ERR" && FORBIDDEN_IN_SCRIPTS.iter().any(|words| self.says(words))
    }

    /// Whether the server does not have the command. Hosted servers take commands away or give them
    /// other names (`rename-command`). Not of a command within a script: what came before it is
    /// done.
    pub fn is_unknown_command(&self) -> bool {
        self.code() == "ERR" && (self.says("unknown command") || self.says("nknown subcommand"))
    }

    /// What it means to callers.
    pub fn kind(&self) -> FaultKind {
        match self.code() {
            "WRONGPASS" | "NOAUTH" | "NOPERM" | "DENIED" => FaultKind::Refused,
            "READONLY" => FaultKind::ReadOnly,
            "LOADING" | "MASTERDOWN" => FaultKind::NotReady,
            "OOM" | "MISCONF" | "NOREPLICAS" | "CLUSTERDOWN" | "BUSY" | "TRYAGAIN" => {
                FaultKind::Unavailable
            }
            "WRONGTYPE" | "MOVED" | "ASK" | "CROSSSLOT" => FaultKind::Unfit,
            "ERR" if self.says(DATABASE) || self.is_forbidden() => FaultKind::Refused,
            "ERR" if self.says(CLIENTS) => FaultKind::Unavailable,
            "ERR" if self.is_unknown_command() => FaultKind::Unfit,
            _ => FaultKind::Failed,
        }
    }
}

/// What a user may not, in a script: Redis 8 and Valkey 8, and the two ways of earlier versions.
const FORBIDDEN_IN_SCRIPTS: [&str; 3] =
    ["ACL failure in script", "can't run this command", "can't access at least one of the keys"];

fn without_arguments(message: &str) -> &str {
    message.split_once(", with args beginning with:").map_or(message, |(words, _)| words)
}

/// Redis has no code for these two.
pub const DATABASE: &str = "DB index is out of range";
/// The other one.
pub const CLIENTS: &str = "max number of clients reached";

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn what_redis_says_is_told_from_what_the_client_says() {
        let table = [
            ("WRONGPASS invalid username-password pair", Some(("WRONGPASS", FaultKind::Refused))),
            ("NOAUTH Authentication required.", Some(("NOAUTH", FaultKind::Refused))),
            ("DENIED Redis is running in protected mode", Some(("DENIED", FaultKind::Refused))),
            ("LOADING Redis is loading the dataset", Some(("LOADING", FaultKind::NotReady))),
            ("ERR DB index is out of range", Some(("ERR", FaultKind::Refused))),
            ("ERR max number of clients reached", Some(("ERR", FaultKind::Unavailable))),
            (
                "ERR ACL failure in script: No permissions to access a key script: on \
                    @user_script:1.",
                Some(("ERR", FaultKind::Refused)),
            ),
            (
                "ERR The user executing the script can't run this command or subcommand",
                Some(("ERR", FaultKind::Refused)),
            ),
            (
                "ERR unknown command 'PING', with args beginning with: ",
                Some(("ERR", FaultKind::Unfit)),
            ),
            ("ERR something else", Some(("ERR", FaultKind::Failed))),
            ("Os { code: 111, kind: ConnectionRefused, message: \"Connection refused\" }", None),
            ("Request timed out.", None),
            ("Decode Error: Unexpected", None),
            ("", None),
        ];
        for (reason, expected) in table {
            let found = ServerError::of(reason);
            let found = found.as_ref().map(|error| (error.code(), error.kind()));
            assert_eq!(found, expected, "{reason}");
        }
    }

    #[test]
    fn a_fault_reads_as_the_failure_did() {
        let fault = Fault::new(FaultKind::Refused, "redis:6379/0: WRONGPASS").remedy("correct it");
        let table = [
            (Failure::Refused("NOPERM no".to_owned()), FaultKind::Refused),
            (Failure::NotSent(fault), FaultKind::Refused),
            (Failure::Unknown("a timeout".to_owned()), FaultKind::Unreachable),
        ];
        for (failure, kind) in table {
            let fault = Fault::from(failure.clone());
            assert_eq!((fault.kind(), fault.to_string()), (kind, failure.to_string()));
        }
        let refused = Fault::from(Failure::Refused("NOPERM no".to_owned()));
        assert_eq!(refused.cause::<ServerError>().map(ServerError::code), Some("NOPERM"));
        let not_sent = Failure::NotSent(Fault::unreachable("away"));
        assert_eq!(not_sent.source().map(ToString::to_string).as_deref(), Some("away"));
    }

    #[test]
    fn a_command_that_the_server_does_not_have_is_told_without_its_arguments() {
        let redis_7 = "ERR unknown command 'EVALSHA', with args beginning with: '5a' '1' 'secret' ";
        let redis_6 = "ERR unknown command `CONFIG`, with args beginning with: `GET`, ";
        let in_script = "ERR Unknown Redis command called from script script: 5a, on @user_script";
        let table = [
            (redis_7, true, true),
            (redis_6, true, true),
            ("ERR unknown subcommand 'USAGE'. Try MEMORY HELP.", true, true),
            (in_script, false, false),
            ("NOPERM User u has no permissions to run the 'config|get' command", false, true),
            ("WRONGTYPE unknown command", false, false),
        ];
        for (message, is_unknown, is_withheld) in table {
            let failure = Failure::refused(message);
            let found = (failure.is_unknown_command(), failure.is_withheld());
            assert_eq!(found, (is_unknown, is_withheld), "{failure}");
            assert!(!failure.to_string().contains("args"), "{failure}");
        }
        let named = "Redis refused: ERR unknown command 'EVALSHA'";
        assert_eq!(Failure::refused(redis_7).to_string(), named);
    }

    #[test]
    fn refused_credentials_are_told_from_missing_privileges_and_outages() {
        let text = str::to_owned;
        let login = |message: &str| {
            let error = ServerError::of(message).expect("a code");
            Fault::new(error.kind(), message).because(error).at("10.0.0.1:6379")
        };
        let wrong = login("WRONGPASS invalid username-password pair");
        let away = Fault::unreachable("10.0.0.1:6379: connection refused, not even NOAUTH");
        let rows = [
            (Failure::Refused(text("NOAUTH Authentication required.")), true),
            (Failure::NotSent(wrong), true),
            (Failure::NotSent(login("NOPERM no permission")), false),
            (Failure::Refused(text("NOPERM no permission, not even NOAUTH")), false),
            (Failure::NotSent(away), false),
            (Failure::Unknown(text("NOAUTH")), false),
        ];
        for (failure, expected) in rows {
            assert_eq!(failure.is_login_refused(), expected, "{failure}");
        }
    }
}
