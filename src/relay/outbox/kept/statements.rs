//! The statements of a kept outbox, made once from the table's columns. Pure.
//!
//! A read takes one snapshot and returns it with the rows. Rows are found in two ways, which do not
//! overlap: above the hint by their ids, and up to it by their transactions. Why the statement has
//! this shape is in `docs/architecture.md`: every bound is a parameter or a scalar sub-select,
//! because joined bounds are planned as scans of the whole table. Rows of a transaction that was
//! open are looked for by rows of two columns, and a letter by a scalar sub-select: whatever the
//! statistics say, only the index by transactions and the one of the letters fit. With `=` and
//! `order by id`, a table that few transactions wrote was walked by its ids from end to end.

use super::super::key::{key, stream};
use super::super::one::numbered;
use super::super::server::TIMELINE;
use crate::relay::options::{Keep, OutboxOptions};
use outflow_core::table_name::{quote_identifier, quote_literal};

/// Columns behind those of the event, in each returned row: the snapshot of the read (in the first
/// row only, and the others with it), whether the log was flushed up to it, the timeline of the
/// server (null on a standby), whether the name still means the table, and the last value of the
/// sequence, unless many rows have ids above it.
pub(super) const HEADER: [&str; 5] = ["read", "durable", "timeline", "ours", "drawn"];

/// More rows than these above the sequence were not drawn from it: a hint below them would have
/// each read walk over them all.
const ABOVE_MAX: u32 = 1_000;
/// Rows that are counted at most: a recovery must come to its end, however many are sent again.
pub(super) const BETWEEN_MAX: u32 = 100_000;

/// The statements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statements {
    /// Reads the next rows. `$1` seen, `$2` target or null, `$3` mark, `$4` hint, `$5` limit,
    /// `$6` streams to leave out or null, `$7` slots or null for all, `$8` the only stream or null,
    /// `$9` how many bytes a field may have, `$10` what stands for a longer one, `$11` whether rows
    /// may have gone to the dead letters before, `$12` the sequence of the order column or null.
    pub(super) read: String,
    /// The same of the rows with the order value `$13` alone: of no other one is anything looked
    /// at, so that what the server refuses is theirs.
    pub(super) lone: String,
    /// As `read`, with nothing of the row but its order value as text and its primary key.
    pub(super) peek: String,
    /// How many of the first `BETWEEN_MAX` rows between two snapshots, `$1` and `$2`, are in the
    /// slots `$3`.
    pub(super) between: String,
    /// The sequence of the order column, if this role may look at it.
    pub(super) sequence: String,
}

impl Statements {
    /// `list`: what a read returns of a row, of the table as `t`. `only`: the table has no
    /// children.
    pub(super) fn new(
        config: &OutboxOptions,
        keep: &Keep,
        list: &[String],
        oid: u32,
        only: bool,
    ) -> Self {
        let parts = Parts::new(config, keep, oid, only);
        let id = quote_identifier(&config.columns.id);
        // The condition has the parameters that only the other statement needs.
        let peeked = [
            format!("t.{}", parts.xid),
            format!(
                "case when $9::integer is not null or $10::text is not null then t.{}::text end",
                parts.order
            ),
            format!("left(t.{id}::text, 200)"),
        ];
        let name = quote_literal(&config.table.quoted());
        let column = quote_literal(&config.columns.order);
        Self {
            read: parts.read(&numbered(list, "$9", "$10"), ""),
            lone: parts.read(&numbered(list, "$9", "$10"), " and {order} = $13::bigint"),
            peek: parts.read(&peeked, ""),
            between: parts.between(),
            sequence: format!(
                "select s.oid from (select pg_catalog.pg_get_serial_sequence({name}, {column}) \
                 ::regclass::oid) as s (oid) \
                 where s.oid is not null \
                 and pg_catalog.has_sequence_privilege(s.oid, 'usage, select')"
            ),
        }
    }
}

struct Parts {
    oid: u32,
    name: String,
    table: String,
    xid: String,
    order: String,
    config: OutboxOptions,
}

impl Parts {
    fn new(config: &OutboxOptions, keep: &Keep, oid: u32, only: bool) -> Self {
        let table = config.table.quoted();
        Self {
            oid,
            name: quote_literal(&table),
            table: if only { format!("only {table}") } else { table },
            xid: quote_identifier(&keep.xid),
            order: quote_identifier(&config.columns.order),
            config: config.clone(),
        }
    }

    /// Which rows of this alias are wanted.
    fn wanted(&self, of: char) -> String {
        let Self { oid, xid, order, config, .. } = self;
        let (key, stream) = (key(config, of), stream(config, of));
        format!(
            "($6::text[] is null or {stream} <> all ($6)) \
             and ($8::text is null or {stream} = $8) \
             and ($7::bigint is null \
             or ($7 >> (hashtextextended({key}, 0) & 63)::integer) & 1 = 1) \
             and (not $11::boolean or (\
             select d.kept from outflow.dead_letter d where d.outbox = (\
             select o.name from outflow.outbox o where o.relation = {oid}::oid) \
             and d.kept = {of}.{order} and d.xid = {of}.{xid}::text and d.pending is null) is null)"
        )
    }

    /// `and`: what else is wanted, of the column `{order}`.
    fn read(&self, list: &[String], and: &str) -> String {
        let Self { oid, name, table, xid, order, .. } = self;
        let wanted = |of: char| self.wanted(of) + &and.replace("{order}", &format!("{of}.{order}"));
        let (wanted, wanted_above) = (wanted('c'), wanted('t'));
        let ours = format!("coalesce(pg_catalog.to_regclass({name})::oid = {oid}::oid, false)");
        let columns: Vec<String> =
            list.iter().enumerate().map(|(n, sql)| format!("{sql} as c{n}")).collect();
        let columns = columns.join(", ");
        let names: Vec<String> = (0..list.len()).map(|n| format!("c{n}")).collect();
        let nulls = vec!["null"; list.len()].join(", ");
        let no_header = vec!["null"; HEADER.len()].join(", ");
        format!(
            "with seen as materialized (select $1::text::pg_snapshot as s), \
             tgt as materialized (\
             select coalesce($2::text::pg_snapshot, pg_current_snapshot()) as s), \
             late as materialized (\
             select c.{order} as o, c.{xid} as x from {table} as c \
             where $3::bigint < $4::bigint \
             and c.{xid} >= (select pg_snapshot_xmax(s) from seen) \
             and c.{xid} < (select pg_snapshot_xmax(s) from tgt) \
             and c.{order} > $3 and c.{order} <= $4 \
             and pg_visible_in_snapshot(c.{xid}, (select s from tgt)) and {wanted} \
             union all \
             select l.* from (\
             select x from pg_snapshot_xip((select s from seen)) as x \
             where $3 < $4 and pg_visible_in_snapshot(x, (select s from tgt))) as ended, \
             lateral (select c.{order} as o, c.{xid} as x from {table} as c \
             where (c.{xid}, c.{order}) > (ended.x, $3) \
             and (c.{xid}, c.{order}) <= (ended.x, $4) and {wanted} \
             order by c.{xid}, c.{order} fetch first ($5::bigint) rows with ties) as l), \
             pick as materialized (\
             select distinct o, x from late order by o fetch first ($5) rows with ties) \
             select {nulls}, pg_current_snapshot()::text as read, \
             pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn() as durable, \
             case when not pg_is_in_recovery() \
             then {TIMELINE} end as timeline, \
             {ours} as ours, \
             case when $12::oid is not null then (\
             select case when (select count(*) from (select from {table} as a \
             where a.{order} > drawn.last order by a.{order} limit {ABOVE_MAX} + 1) as above) \
             <= {ABOVE_MAX} then drawn.last end \
             from (select pg_sequence_last_value($12::oid::regclass) as last) as drawn) end \
             as drawn \
             union all (\
             select {}, {no_header} from ((\
             select t.{order} as o, {columns} from {table} as t \
             where t.{order} > greatest($3, $4) \
             and not pg_visible_in_snapshot(t.{xid}, (select s from seen)) \
             and pg_visible_in_snapshot(t.{xid}, (select s from tgt)) and {wanted_above} \
             order by t.{order} fetch first ($5) rows with ties) \
             union all \
             select t.{order} as o, {columns} from pick, {table} as t \
             where t.{xid} = pick.x and t.{order} = pick.o) as u \
             order by o fetch first ($5) rows with ties)",
            names.join(", ")
        )
    }

    fn between(&self) -> String {
        let Self { table, xid, config, .. } = self;
        let key = key(config, 'c');
        format!(
            "select count(*) filter (where $3::bigint is null \
             or ($3 >> (hashtextextended(b.k, 0) & 63)::integer) & 1 = 1) \
             from (select {key} as k from {table} as c \
             where c.{xid} >= (select pg_snapshot_xmin($1::text::pg_snapshot)) \
             and c.{xid} < (select pg_snapshot_xmax($2::text::pg_snapshot)) \
             and not pg_visible_in_snapshot(c.{xid}, $1::text::pg_snapshot) \
             and pg_visible_in_snapshot(c.{xid}, $2::text::pg_snapshot) \
             limit {BETWEEN_MAX}) as b"
        )
    }
}
