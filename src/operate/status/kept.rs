//! What a kept outbox keeps, and how far it has been read, by the copies of the positions in
//! Postgres.

use std::collections::BTreeSet;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::report::{Kept, KeptPosition, OutboxStatus};
use crate::relay::kept::pieces::Pieces;
use crate::relay::options::{OutboxOptions, Settle};

/// As the last VACUUM or ANALYZE has counted. A partitioned table is the sum of its partitions.
const ROWS: &str = "select sum(c.reltuples) filter (where c.reltuples >= 0)::float8 \
    from pg_catalog.pg_class c where c.relkind = 'r' and (c.oid = pg_catalog.to_regclass($1) \
    or c.oid in (select inhrelid from pg_catalog.pg_inherits \
    where inhparent = pg_catalog.to_regclass($1)))";
const POSITIONS: &str = "select generation, member, batch, pieces, \
    extract(epoch from clock_timestamp() - copied_at)::float8 \
    from outflow.position where relation = pg_catalog.to_regclass($1) order by generation, member";

/// Fills in what is known of an outbox that keeps its rows.
pub(super) async fn ask(
    client: &Client,
    outbox: &OutboxOptions,
    status: &mut OutboxStatus,
) -> Result<(), tokio_postgres::Error> {
    if outbox.settle == Settle::Delete {
        return Ok(());
    }
    let table = outbox.table.quoted();
    let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] = [(&table, Type::TEXT)];
    let rows = client.query_typed(ROWS, &params).await?;
    let rows = rows.first().and_then(|row| row.get::<_, Option<f64>>(0));
    let found = client.query_typed(POSITIONS, &params).await?;
    let mut positions = Vec::new();
    for row in found {
        let (member, text): (i32, &str) = (row.get(1), row.get(3));
        let pieces = Pieces::parse(text).unwrap_or_else(|error| {
            status.problems.push(format!("the position of relay #{member}: {error}"));
            Pieces::default()
        });
        let streams: BTreeSet<&str> = pieces.streams();
        positions.push(KeptPosition {
            generation: row.get(0),
            member,
            batch: row.get(2),
            copied_seconds_ago: row.get(4),
            pieces: pieces.all().len(),
            streams: streams.into_iter().map(str::to_owned).collect(),
        });
    }
    #[expect(clippy::cast_possible_truncation, reason = "an estimate, far below the limit")]
    let rows_estimated = rows.map(|rows| rows as i64);
    status.kept = Some(Kept { rows_estimated, positions });
    Ok(())
}
