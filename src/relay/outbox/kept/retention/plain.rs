//! Deleting old rows of a plain table, some at a time, in the order of the events.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::rules::Rules;

/// Rows that one step looks at.
const ROWS: i64 = 1_000;

/// One walk over the old rows, in steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// The last row that was looked at.
    after: Option<i64>,
    /// Old rows that have not been read.
    unread: i64,
    /// The first of them, and its stream.
    first: Option<(i64, String)>,
    /// Only rows follow that are not old.
    pub(super) is_over: bool,
}

impl Pass {
    /// What stays although it is old.
    pub(super) fn held(&self) -> Option<String> {
        let (row, stream) = self.first.as_ref()?;
        let unread = self.unread;
        Some(format!(
            "{unread} rows older than keep.for have not been read, the first is {row} ({stream})"
        ))
    }
}

/// Deletes the next old rows that were read. Returns how many.
///
/// # Errors
/// Postgres refused or is gone; nothing was done.
pub async fn step(
    client: &Client,
    rules: &Rules,
    pass: &mut Pass,
) -> Result<u64, tokio_postgres::Error> {
    let Rules { table, order, xid, old, unread, stream } = rules;
    // Which row it is, by what may be read of it: a role that has columns only has no ctid.
    let statement = format!(
        "with step as materialized (\
         select t.{order} as o, t.{xid} as x, {old} as is_old, {unread} as is_unread, \
         {stream} as stream from only {table} as t \
         where $1::bigint is null or t.{order} > $1 order by t.{order} limit $2::bigint), \
         gone as (\
         delete from only {table} as t using step \
         where step.is_old and not step.is_unread \
         and t.{order} = step.o and t.{xid} = step.x and {old} and not {unread} returning 1) \
         select count(*), max(o)::bigint, count(*) filter (where is_old), \
         count(*) filter (where is_old and is_unread), \
         (min(o) filter (where is_old and is_unread))::bigint, \
         (array_agg(stream order by o) filter (where is_old and is_unread))[1], \
         (select count(*) from gone) from step"
    );
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&pass.after, Type::INT8), (&ROWS, Type::INT8)];
    let rows = client.query_typed(&statement, &params).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    let (looked_at, is_old): (i64, i64) = (row.get(0), row.get(2));
    pass.after = row.get(1);
    pass.unread += row.get::<_, i64>(3);
    let first: Option<i64> = row.get(4);
    pass.first = pass
        .first
        .take()
        .or_else(|| Some((first?, row.get::<_, Option<String>>(5).unwrap_or_default())));
    // Events are written in about the order of their times.
    pass.is_over = looked_at < ROWS || is_old == 0;
    Ok(u64::try_from(row.get::<_, i64>(6)).unwrap_or(0))
}
