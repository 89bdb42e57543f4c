//! Why there is no reply.

/// What Redis answers to credentials that are missing or wrong.
const LOGIN_CODES: [&str; 2] = ["NOAUTH", "WRONGPASS"];

/// Why a command has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Redis answered with an error: a definite outcome, nothing of the command was done unless it
    /// says so itself.
    #[error("Redis refused: {0}")]
    Refused(String),
    /// There was no connection to send it on: nothing was done.
    #[error("no connection to Redis: {0}")]
    NotSent(String),
    /// It may have been done, or not, or it may still be done later: a timeout or a connection lost
    /// in between.
    #[error("no answer from Redis: {0}")]
    Unknown(String),
}

impl Failure {
    /// The error code of a refusal (`WRONGTYPE`, `OOM`, `BUSYGROUP` …), which is its first word.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(message) => message.split_whitespace().next(),
            Self::NotSent(_) | Self::Unknown(_) => None,
        }
    }

    /// Whether Redis refuses the credentials of the connection: it wants some and the address has
    /// none (`NOAUTH`), or they are wrong (`WRONGPASS`).
    pub fn is_login_refused(&self) -> bool {
        match self {
            Self::Refused(_) => self.code().is_some_and(|code| LOGIN_CODES.contains(&code)),
            // The client keeps only the text of what a new connection was told.
            Self::NotSent(reason) => LOGIN_CODES.iter().any(|code| reason.contains(code)),
            Self::Unknown(_) => false,
        }
    }
}

/// An address that cannot be used, with what is expected. Holds no part of the address: it may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUrl(pub(super) String);

impl BadUrl {
    /// An address that cannot be used with these streams.
    pub fn because(reason: String) -> Self {
        Self(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn refused_credentials_are_told_from_missing_privileges_and_outages() {
        let text = str::to_owned;
        let wrong = "10.0.0.1:6379: WRONGPASS invalid username-password pair";
        let rows = [
            (Failure::Refused(text("NOAUTH Authentication required.")), true),
            (Failure::NotSent(text(wrong)), true),
            (Failure::Refused(text("NOPERM no permission, not even NOAUTH")), false),
            (Failure::NotSent(text("10.0.0.1:6379: connection refused")), false),
            (Failure::Unknown(text("NOAUTH")), false),
        ];
        for (failure, expected) in rows {
            assert_eq!(failure.is_login_refused(), expected, "{failure}");
        }
    }
}
