//! Who did what, and when: the rows of `outflow.audit`. Whatever is done on request leaves one,
//! written before it is done or in the same transaction.

use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use outflow_core::who::{host, os_user};

/// What whoever acts writes: the only columns that a role needs to insert. The rest, such as the
/// time and the role itself, is Postgres's own knowledge.
pub const COLUMNS: &str = "action, outbox, letters, filter, os_user, host, via, operator";

/// Who asks for something, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Where it was asked for: `command line` or `console`.
    pub via: &'static str,
    /// Who is logged in there; `None` on the command line, where the operating system knows.
    pub operator: Option<String>,
    /// The user of the operating system under which this program runs.
    pub os_user: String,
    /// On which host.
    pub host: String,
}

impl Who {
    /// Whoever runs this command.
    pub fn command_line() -> Self {
        Self { via: "command line", operator: None, os_user: os_user(), host: host() }
    }

    /// Whoever is logged in at the console: the name of a token, or the user that a proxy named.
    pub fn console(operator: impl Into<String>) -> Self {
        Self { via: "console", operator: Some(operator.into()), ..Self::command_line() }
    }

    /// How others call them: in the list of pauses, say.
    pub fn name(&self) -> String {
        match &self.operator {
            Some(operator) => format!("{operator} ({})", self.via),
            None => self.os_user.clone(),
        }
    }
}

/// Notes what is done to an outbox, or to a stream if there is no outbox (''). `filter`: what was
/// asked for.
///
/// # Errors
/// Postgres refused or is gone: then nothing may be done.
pub async fn record(
    client: &Client,
    who: &Who,
    action: &str,
    outbox: &str,
    letters: u64,
    filter: &Value,
) -> Result<(), Error> {
    let letters = i64::try_from(letters).unwrap_or(i64::MAX);
    let Who { via, operator, os_user, host } = who;
    client
        .query_typed(
            include_str!("audit/record.sql"),
            &[
                (&action, Type::TEXT),
                (&outbox, Type::TEXT),
                (&letters, Type::INT8),
                (filter, Type::JSONB),
                (os_user, Type::TEXT),
                (host, Type::TEXT),
                (via, Type::TEXT),
                (operator, Type::TEXT),
            ],
        )
        .await
        .map(drop)
}
