//! Which version of the schema `outflow` the database has, and whether this program may work with
//! it. A newer schema says itself which older programs may: only whoever made it can know.

use tokio_postgres::Client;

use outflow_connect::postgres::not_answered;
use outflow_core::fault::{Fault, FaultKind};

/// The version that this program makes and knows.
pub const VERSION: i32 = 8;
/// Nothing is prepared, because behind a transaction pooler the next statement may be in another
/// session.
const IS_READABLE: &str = "select case \
    when has_schema_privilege(to_regnamespace('outflow'), 'usage') \
    then coalesce(has_table_privilege(to_regclass('outflow.migration'), 'select'), false) \
    else false end";
const NEWEST: &str = include_str!("sql/schema_version.sql");
/// What this role lacks to read it. None: nothing, or there is no schema.
const GRANT: &str = "select format('grant select on outflow.migration to %I', current_user) \
    from (select has_schema_privilege(to_regnamespace('outflow'), 'usage') as is_open) as schema \
    where is_open and not has_table_privilege(case when is_open then \
    to_regclass('outflow.migration') end, 'select')";

/// What the table `outflow.migration` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// The newest version that was applied.
    pub version: i32,
    /// Programs that know at least this version may work with it. `None`: only its own.
    oldest: Option<i32>,
}

impl SchemaVersion {
    /// Looks it up. `None` if there is no schema, no version in it, or no right to read it.
    ///
    /// # Errors
    /// Postgres cannot be asked now.
    pub async fn of(client: &Client) -> Result<Option<Self>, Fault> {
        let readable = client.query_typed_one(IS_READABLE, &[]).await.map_err(not_answered)?;
        if !readable.get::<_, bool>(0) {
            return Ok(None);
        }
        let rows = client.query_typed(NEWEST, &[]).await.map_err(not_answered)?;
        let found = rows.first();
        Ok(found.map(|row| Self { version: row.get("version"), oldest: row.get("oldest") }))
    }

    /// Whether a newer program made it.
    pub fn is_newer(self) -> bool {
        self.version > VERSION
    }

    /// Why this program must not work with it.
    pub fn refusal(self) -> Option<Fault> {
        let Self { version, oldest } = self;
        if !self.is_newer() || oldest.is_some_and(|oldest| oldest <= VERSION) {
            return None;
        }
        let what = format!(
            "the schema outflow has version {version}, and this program (outflow {}) knows only \
                versions up to {VERSION}",
            env!("CARGO_PKG_VERSION")
        );
        let remedy = "start the version of Outflow that migrated it, or a later one";
        Some(Fault::new(FaultKind::Unfit, what).remedy(remedy))
    }
}

/// The statement that lets this role read the version, if it may not. Without this right a program
/// cannot refuse a schema that only newer programs may work with.
///
/// # Errors
/// Postgres cannot be asked now.
pub async fn grant(client: &Client) -> Result<Option<String>, tokio_postgres::Error> {
    Ok(client.query_typed_opt(GRANT, &[]).await?.map(|row| row.get(0)))
}

/// Refuses a schema that only newer programs may work with.
///
/// # Errors
/// [`SchemaVersion::refusal`], or Postgres cannot be asked now.
pub async fn known(client: &Client) -> Result<(), Fault> {
    match SchemaVersion::of(client).await?.and_then(SchemaVersion::refusal) {
        Some(refusal) => Err(refusal),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_says_which_programs_may_work_with_it() {
        let table = [
            (1, None, true),
            (VERSION, None, true),
            (VERSION, Some(VERSION), true),
            (VERSION + 1, Some(VERSION), true),
            (VERSION + 9, Some(1), true),
            (VERSION + 1, None, false),
            (VERSION + 2, Some(VERSION + 1), false),
        ];
        for (version, oldest, may) in table {
            let refusal = SchemaVersion { version, oldest }.refusal();
            assert_eq!(refusal.is_none(), may, "{version} {oldest:?}");
            if let Some(refusal) = refusal {
                assert!(refusal.to_string().contains(&format!("has version {version}, and")));
                assert!(refusal.to_string().contains(&format!("up to {VERSION}")));
            }
        }
    }
}
