//! Who keeps a session waiting for a lock. Asked from a session beside it, while it waits.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// How often to look. Waits are cut short after a second.
const PACE: Duration = Duration::from_millis(200);

/// A wait for a lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// What is locked, if it is a table.
    table: Option<String>,
    pid: i32,
    application: Option<String>,
    role: Option<String>,
    state: Option<String>,
    /// Age of its transaction in seconds, and of its last statement. Hidden from roles that may not
    /// see it.
    transaction: Option<f64>,
    query: Option<f64>,
}

/// Runs `work` of the session `pid`. Returns its outcome with the last session that it waited for.
pub async fn watched<T>(
    observer: Option<&Client>,
    pid: i32,
    work: impl Future<Output = T>,
) -> (T, Option<Wait>) {
    let mut work = pin!(work);
    let mut seen = None;
    let look = async || {
        tokio::time::sleep(PACE).await;
        look(observer?, pid).await
    };
    loop {
        // A look that takes long must not keep the session idle, which may end it.
        tokio::select! {
            outcome = &mut work => return (outcome, seen),
            now = look() => seen = now.or(seen),
        }
    }
}

/// What cannot be looked at is not told: the wait is what matters.
async fn look(observer: &Client, pid: i32) -> Option<Wait> {
    let rows =
        observer.query_typed(include_str!("blockers.sql"), &[(&pid, Type::INT4)]).await.ok()?;
    let row = rows.first()?;
    Some(Wait {
        table: row.get("relation"),
        pid: row.get("pid"),
        application: row.get("application"),
        role: row.get("role"),
        state: row.get("state"),
        transaction: row.get("transaction_seconds"),
        query: row.get("query_seconds"),
    })
}

impl Wait {
    /// Without what changes from one look to the next.
    pub fn briefly(&self) -> String {
        Self { state: None, transaction: None, query: None, ..self.clone() }.to_string()
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, pid, application, role, state, transaction, query } = self;
        write!(
            f,
            "{} is locked by process {pid} of Postgres (",
            table.as_deref().unwrap_or("what it needs")
        )?;
        match application.as_deref().filter(|name| !name.is_empty()) {
            Some(application) => write!(f, "application {application:?}")?,
            None => f.write_str("an application without a name")?,
        }
        if let Some(role) = role {
            write!(f, ", role {role}")?;
        }
        if let Some(state) = state {
            write!(f, ", {state}")?;
        }
        if let Some(seconds) = transaction {
            write!(f, ", transaction open for {seconds:.0} s")?;
        }
        if let Some(seconds) = query {
            write!(f, ", last statement begun {seconds:.0} s ago")?;
        }
        f.write_str(")")
    }
}
