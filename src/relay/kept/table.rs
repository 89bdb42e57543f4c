//! A kept event table as it is: looked up once at start-up, as the table of any outbox, and with
//! what a position rests on.

use tokio_postgres::Client;

use super::ring::Ring;
use crate::relay::options::{Keep, OutboxOptions, Settle};
use crate::relay::outbox::columns::Column;
use crate::relay::outbox::row::Layout;
use crate::relay::outbox::table::{Examined, Found, Problem, layout, look, unfit};
use outflow_connect::postgres::not_answered;
use outflow_core::fault::{Fault, FaultKind};
use outflow_core::table_name::quote_identifier;

/// A kept event table, ready to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its identity.
    pub oid: u32,
    /// Names its journal in Redis.
    pub journal: String,
    /// Whether the insert trigger is there, enabled, and notifies.
    pub has_trigger: bool,
    /// Neither partitioned nor inherited.
    pub plain: bool,
    /// How old rows are removed.
    pub shape: Shape,
    /// Mapped columns of bytes, where the database's encoding has no word for every text that they
    /// may hold.
    pub ascii: Vec<String>,
    /// How a row is read. Position 0 is the transaction that inserted it, as 8 bytes.
    pub layout: Layout,
    /// What to select, in that order, of a table that is called `t`: with `{cap}` for how many
    /// bytes a field may have, and `{marker}` for what stands for a longer one.
    pub list: Vec<String>,
}

/// How old rows are removed from a kept table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Row by row.
    Plain,
    /// A whole partition at a time.
    Ring(Ring),
    /// It has children that are no ring: by whoever made them.
    Foreign,
}

/// A partition of a kept table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its identity.
    pub oid: u32,
    /// Its name, quoted if need be.
    pub name: String,
    /// Its number in the ring; `None`: it is not of the ring.
    pub slot: Option<u64>,
    /// Whether this role may empty it.
    pub may_truncate: bool,
}

/// The default that fills the column of the transaction.
const DEFAULT: &str = "pg_current_xact_id()";

impl Table {
    /// Looks the table up.
    ///
    /// # Errors
    /// As [`outbox::table::Table::inspect`](crate::relay::outbox::table::Table::inspect).
    /// `ReadOnly`: the server is a standby.
    pub async fn inspect(client: &Client, config: &OutboxOptions) -> Result<Self, Fault> {
        Self::examine(client, config).await?.ready(config)
    }

    /// Looks the table up and lists all that is to be mended.
    ///
    /// # Errors
    /// Postgres cannot be asked now.
    pub async fn examine(client: &Client, config: &OutboxOptions) -> Result<Examined<Self>, Fault> {
        let Settle::Keep(keep) = &config.settle else {
            let problem = Problem::Other(unfit("this outbox deletes its rows"));
            return Ok(Examined { problems: vec![problem], table: None });
        };
        let Examined { mut problems, table } = look(client, config).await?;
        let Some(Found { oid, journal, has_trigger, plain, ascii, columns }) = table else {
            return Ok(Examined { problems, table: None });
        };
        let catalog = Catalog::read(client, config, keep, oid).await.map_err(not_answered)?;
        problems.extend(catalog.problems(config, keep, &columns));
        let Some(journal) = journal.filter(|_| problems.is_empty()) else {
            return Ok(Examined { problems, table: None });
        };
        let shape = match catalog.partition_key.as_deref().and_then(Ring::of_key) {
            Some(ring) => Shape::Ring(ring),
            None if catalog.is_partitioned || catalog.has_children => Shape::Foreign,
            None => Shape::Plain,
        };
        Ok(match layout(config, &columns, plain) {
            Err(message) => {
                Examined { problems: vec![Problem::Other(unfit(message))], table: None }
            }
            Ok((layout, list)) => {
                let table = Self { oid, journal, has_trigger, plain, shape, ascii, layout, list };
                Examined { problems, table: Some(table) }
            }
        })
    }

    /// Its partitions; none if it is plain.
    ///
    /// # Errors
    /// Postgres refused or is gone.
    pub async fn partitions(
        &self,
        client: &Client,
    ) -> Result<Vec<Partition>, tokio_postgres::Error> {
        let slots = match self.shape {
            Shape::Ring(ring) => ring.slots,
            Shape::Plain | Shape::Foreign => 0,
        };
        partitions(client, self.oid, slots).await
    }
}

/// The partitions of a table, `slots` of which are of the ring.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn partitions(
    client: &Client,
    oid: u32,
    slots: u64,
) -> Result<Vec<Partition>, tokio_postgres::Error> {
    let rows = client.query(include_str!("sql/partitions.sql"), &[&oid]).await?;
    let partition = |row: &tokio_postgres::Row| Partition {
        oid: row.get("oid"),
        name: row.get("name"),
        slot: row.get::<_, Option<&str>>("bound").and_then(slot).filter(|slot| *slot < slots),
        may_truncate: row.get("may_truncate"),
    };
    Ok(rows.iter().map(partition).collect())
}

/// The number in `FOR VALUES IN ('3')`; `None` if there are other values, or none.
fn slot(bound: &str) -> Option<u64> {
    let values = bound.strip_prefix("FOR VALUES IN (")?.strip_suffix(')')?;
    values.trim_matches('\'').parse().ok()
}

/// A row that was inserted by a transaction that this server has not begun yet: its number is that
/// of another server. `None`: there is no such row. The first one by its order value.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn foreign(
    client: &Client,
    config: &OutboxOptions,
    keep: &Keep,
) -> Result<Option<i64>, tokio_postgres::Error> {
    let (xid, order) = (quote_identifier(&keep.xid), quote_identifier(&config.columns.order));
    // By the index, whatever the planner thinks of an empty range.
    let statement = format!(
        "select t.{order}::bigint from {} as t \
         where t.{xid} >= (select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())) \
         order by t.{xid}, t.{order} limit 1",
        config.table.quoted()
    );
    Ok(client.query_opt(&statement, &[]).await?.map(|row| row.get(0)))
}

/// Statements that create the indexes which reads need and the table lacks.
///
/// # Errors
/// Postgres refused or is gone.
pub async fn lacking_indexes(
    client: &Client,
    config: &OutboxOptions,
    keep: &Keep,
    oid: u32,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let catalog = Catalog::read(client, config, keep, oid).await?;
    let lacking = catalog.lacking_indexes(config, keep);
    Ok(lacking.into_iter().map(|(_, statement)| statement).collect())
}

/// What the catalog says.
#[expect(clippy::struct_excessive_bools, reason = "what the catalog says, each by itself")]
struct Catalog {
    is_standby: bool,
    is_partitioned: bool,
    has_children: bool,
    partition_key: Option<String>,
    unlogged: Vec<String>,
    xid_default: Option<String>,
    has_xid_index: bool,
    has_order_index: bool,
}

impl Catalog {
    async fn read(
        client: &Client,
        config: &OutboxOptions,
        keep: &Keep,
        oid: u32,
    ) -> Result<Self, tokio_postgres::Error> {
        let wanted: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&oid, &keep.xid, &config.columns.order];
        let row = client.query_one(include_str!("sql/table.sql"), &wanted).await?;
        Ok(Self {
            is_standby: row.get("is_standby"),
            is_partitioned: row.get("is_partitioned"),
            has_children: row.get("has_children"),
            partition_key: row.get("partition_key"),
            unlogged: row.get("unlogged"),
            xid_default: row.get("xid_default"),
            has_xid_index: row.get("has_xid_index"),
            has_order_index: row.get("has_order_index"),
        })
    }

    fn problems(&self, config: &OutboxOptions, keep: &Keep, columns: &[Column]) -> Vec<Problem> {
        let (name, table) = (&config.table, config.table.quoted());
        let xid = quote_identifier(&keep.xid);
        let mut problems = Vec::new();
        let mut lacking =
            |what: String, statement: String| problems.push(Problem::Lacking { what, statement });
        let column = columns.iter().find(|column| column.name == keep.xid);
        match column {
            None => lacking(
                format!("columns.xid names {:?}, but {name} has no such column", keep.xid),
                format!("alter table {table} add column {xid} xid8 not null default {DEFAULT};"),
            ),
            Some(column) if column.kind != "xid8" => {
                let free = quote_identifier(&free_name(columns));
                lacking(
                    format!(
                        "columns.xid names {:?} of {name}, which is {}; expected xid8",
                        keep.xid, column.kind
                    ),
                    format!(
                        "alter table {table} add column {free} xid8 not null default {DEFAULT}; \
                         -- and let columns.xid name it"
                    ),
                );
            }
            Some(column) => {
                if !self.is_default_right() {
                    let found = self.xid_default.as_deref().unwrap_or("none");
                    lacking(
                        format!(
                            "the column {:?} of {name} must have the default {DEFAULT}; found \
                             {found}",
                            keep.xid
                        ),
                        format!("alter table {table} alter column {xid} set default {DEFAULT};"),
                    );
                }
                if !column.not_null {
                    lacking(
                        format!(
                            "the column {:?} of {name} may be null: a row without it is never \
                             delivered",
                            keep.xid
                        ),
                        format!(
                            "update {table} set {xid} = default where {xid} is null; alter table \
                             {table} alter column {xid} set not null;"
                        ),
                    );
                }
            }
        }
        for (what, statement) in self.lacking_indexes(config, keep) {
            lacking(what, statement);
        }
        for unlogged in &self.unlogged {
            lacking(
                format!(
                    "{unlogged} is UNLOGGED: a crash of Postgres empties it, and the position \
                     would be that of rows which are gone"
                ),
                format!("alter table {unlogged} set logged;"),
            );
        }
        if self.is_standby {
            let what = "the server is a standby: there, a snapshot leaves out open transactions";
            let fault = Fault::new(FaultKind::ReadOnly, what);
            problems.push(Problem::Other(fault.remedy("let postgres.url lead to the primary")));
        }
        problems
    }

    /// What is missing, and the statement that creates it.
    fn lacking_indexes(&self, config: &OutboxOptions, keep: &Keep) -> Vec<(String, String)> {
        let (name, table) = (&config.table, config.table.quoted());
        let (xid, order) = (quote_identifier(&keep.xid), quote_identifier(&config.columns.order));
        // Postgres makes none concurrently on a partitioned table.
        let create = if self.is_partitioned { "create index" } else { "create index concurrently" };
        // In this order: see `kept_table.sql`.
        let indexes = [
            (self.has_order_index, order.clone()),
            (self.has_xid_index, format!("{xid}, {order}")),
        ];
        let lacking = indexes.into_iter().filter(|(is_there, _)| !is_there);
        lacking
            .map(|(_, columns)| {
                (
                    format!("{name} has no index that begins with ({columns})"),
                    format!("{create} on {table} ({columns});"),
                )
            })
            .collect()
    }

    fn is_default_right(&self) -> bool {
        self.xid_default.as_deref().is_some_and(|found| found.replace("pg_catalog.", "") == DEFAULT)
    }
}

/// A name for a new column.
fn free_name(columns: &[Column]) -> String {
    let is_free = |name: &String| !columns.iter().any(|column| column.name == *name);
    let numbered = (2..).map(|number| format!("outflow_xid_{number}"));
    let mut names = ["xid", "outflow_xid"].map(str::to_owned).into_iter().chain(numbered);
    names.find(is_free).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::slot;

    #[test]
    fn the_number_of_a_partition_is_read() {
        let table = [
            ("FOR VALUES IN ('3')", Some(3)),
            ("FOR VALUES IN (12)", Some(12)),
            ("FOR VALUES IN ('1', '2')", None),
            ("FOR VALUES IN ('-1')", None),
            ("DEFAULT", None),
            ("FOR VALUES FROM (1) TO (2)", None),
        ];
        for (bound, expected) in table {
            assert_eq!(slot(bound), expected, "{bound}");
        }
    }
}
