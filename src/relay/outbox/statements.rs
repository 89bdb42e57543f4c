//! The statements that depend on the table, made once from its columns and types. Pure.

use super::cursor::BEGINNING;
use super::identity::{Generation, is_as_it_was, is_ours, mapped, name};
use super::key::{key, stream};
use super::naming::{Naming, Settling, settle_recovered};
use super::one::{self, One};
use super::proof;
use super::row::{Decode, Field, Layout};
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::columns::Column;
use outflow_core::table_name::quote_identifier;

/// The statements that depend on the table. Parameters are described where they are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements {
    /// Takes nothing unless its transaction has set `outflow.claim` to `open`. `$1` cursor, `$2`
    /// listed transactions, `$3` their floors, `$4` limit, `$5` parked streams or null, `$6` the
    /// member's slots as bits, or null for all, `$7` and `$8` what the cursor has not seen and its
    /// floor, or null, `$9` the member's generation, `$10` and `$11` token and last value of the
    /// proof that the cursor rests on, or null, `$12` how many bytes a field may have, `$13` what
    /// stands for a longer one, `$14` rows that are held back and `$15` their keys, or null, `$16`
    /// the only stream to look at, or null for all, `$17` the sequence of the proof, or null.
    pub claim: String,
    /// What looks at single rows, when a claim was refused.
    pub one: One,
    /// `$1` the table's oid: its generation, the snapshot, whether the table is the one that was
    /// examined, the token of its proof, the last value of the sequence `$2`, or null, and no more
    /// than the types of the mapped columns. A statement of its own, behind the fence lock, so that
    /// its snapshot is taken after it. That snapshot is older than the one that selects the rows,
    /// which errs on the safe side both ways: see `cursor`.
    pub generation: Generation,
    /// The sequence of the table's proof, or no row. `None` where nothing is sorted by an integer.
    pub proof: Option<String>,
    /// Whether the table is the one that was examined.
    pub is_as_it_was: String,
    /// What settles rows that the journal names.
    pub settle_recovered: Settling,
    /// `$1` the table's oid, `$2` the new generation, `$3` the share-out, `$4` the mapping, `$5`
    /// the rows that were not let go: nothing, if the name means another table.
    pub raise: String,
    /// The lowest order value up to `$1`, and who inserted it; `$2` to `$5` as `$5`, `$6`, `$14`
    /// and `$15` of the claim.
    pub sweep: Option<String>,
}

/// Collects the columns to return, each once.
struct List<'a> {
    columns: &'a [Column],
    table: String,
    sql: Vec<String>,
}

impl List<'_> {
    fn find(&self, key: &str, name: &str) -> Result<&Column, String> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            format!(
                "{key} names {name:?}, but {} has only the columns {}",
                self.table,
                known.join(", ")
            )
        })
    }

    fn add(&mut self, key: &str, name: &str) -> Result<Field, String> {
        let column = self.find(key, name)?;
        let quoted = format!("t.{}", quote_identifier(name));
        let guarded = one::guarded(&quoted, &column.kind);
        let (sql, decode) = match column.kind.as_str() {
            "smallint" => (quoted, Decode::Int2),
            "integer" => (quoted, Decode::Int4),
            "bigint" => (quoted, Decode::Int8),
            "uuid" => (quoted, Decode::Uuid),
            "name" => (quoted, Decode::Raw),
            "jsonb" => (guarded, Decode::Jsonb),
            "timestamp with time zone" => (quoted, Decode::Timestamp),
            // Without a zone it is taken as UTC.
            "timestamp without time zone" => {
                (format!("{quoted} at time zone 'UTC'"), Decode::Timestamp)
            }
            // Texts, json and bytea as they are; of other types the text, as bytes.
            _ => (guarded, Decode::Raw),
        };
        Ok(self.returned(sql, decode))
    }

    fn returned(&mut self, sql: String, decode: Decode) -> Field {
        let position = self.sql.iter().position(|known| *known == sql).unwrap_or_else(|| {
            self.sql.push(sql);
            self.sql.len() - 1
        });
        Field { position, decode }
    }

    /// As [`List::add`], but as Postgres's own text: what goes into the journal, and what is
    /// compared in a statement.
    fn add_text(&mut self, key: &str, name: &str) -> Result<Field, String> {
        let kind = self.find(key, name)?.kind.as_str();
        if !matches!(
            kind,
            "bytea" | "timestamp with time zone" | "timestamp without time zone" | "jsonb"
        ) {
            return self.add(key, name);
        }
        let text = one::guarded(&format!("t.{}::text", quote_identifier(name)), "");
        Ok(self.returned(text, Decode::Raw))
    }

    /// A moment: a date is its midnight.
    fn add_time(&mut self, key: &str, name: &str) -> Result<Field, String> {
        if self.find(key, name)?.kind == "date" {
            return Ok(self.returned(format!("t.{}", quote_identifier(name)), Decode::Date));
        }
        self.add(key, name)
    }

    /// Of the row as it was.
    fn version(&mut self, plain: bool) -> Field {
        let sql = if plain { "t.xmin" } else { "next.version" };
        self.returned(sql.to_owned(), Decode::Xid)
    }

    fn add_optional(&mut self, key: &str, name: Option<&String>) -> Result<Option<Field>, String> {
        name.map(|name| self.add(key, name)).transpose()
    }
}

/// What a claim returns, and where each field of an event is in it. For a kept outbox: what a read
/// returns.
pub(in crate::relay) fn layout(
    config: &OutboxOptions,
    columns: &[Column],
    plain: bool,
) -> Result<(Layout, Vec<String>), String> {
    let own = match &config.settle {
        // The claim's own transaction number comes first: evaluated once, when the first row has
        // been taken.
        Settle::Delete => "(select pg_current_xact_id_if_assigned())".to_owned(),
        // Or the row's, on which a position rests.
        Settle::Keep(keep) => format!("t.{}", quote_identifier(&keep.xid)),
    };
    let mut list = List { columns, table: config.table.to_string(), sql: vec![own] };
    let names = &config.columns;
    let order = list.add("columns.order", &names.order)?;
    let route = config
        .stream
        .columns()
        .map(|column| list.add_text("stream", column))
        .collect::<Result<_, _>>()?;
    let row = list.add_text("columns.id", &names.id)?;
    // No record names the rows of a kept outbox.
    let names_rows = config.settle == Settle::Delete && needs_version(config, columns);
    let version = names_rows.then(|| list.version(plain));
    let layout = Layout {
        types: mapped(config, columns).iter().map(|column| column.type_oid).collect(),
        order: order.decode.is_integer().then_some(order),
        row,
        version,
        id: list.add_text("columns.event_id", &names.event_id)?,
        key: list.add_optional("columns.key", names.key.as_ref())?,
        kind: list.add("columns.type", &names.kind)?,
        time: names.time.as_ref().map(|name| list.add_time("columns.time", name)).transpose()?,
        payload: list.add("columns.payload", &names.payload)?,
        headers: list.add_optional("columns.headers", names.headers.as_ref())?,
        route,
    };
    Ok((layout, list.sql))
}

/// Whether a later row may have the ids of one that is gone: a sequence can begin anew, and texts
/// may be made of one. By themselves only uuids are unique for all time.
pub(super) fn needs_version(config: &OutboxOptions, columns: &[Column]) -> bool {
    columns.iter().any(|column| column.name == config.columns.event_id && column.kind != "uuid")
}

/// Builds the statements. `plain`: neither partitioned nor inherited.
pub(super) fn statements(
    config: &OutboxOptions,
    columns: &[Column],
    list: &[String],
    oid: u32,
    plain: bool,
    has_cursor: bool,
) -> Statements {
    let table = name(config, plain);
    let names = &config.columns;
    let (id, order) = (quote_identifier(&names.id), quote_identifier(&names.order));
    let (ours, is_as_it_was) =
        (is_ours(&config.table, oid), is_as_it_was(&config.table, oid, plain));
    let verb = format!("delete from {table} as t");
    // The bound is computed in the statement's own snapshot: a listed transaction that has ended
    // lowers this claim. And so does a number above the last claim's that has come and gone.
    let watched = "$1::bigint, (select min(o.floor) from unnest($2::text[], $3::bigint[]) as o \
        (xid, floor) \
                 where pg_visible_in_snapshot(o.xid::xid8, pg_current_snapshot())), \
                 (select $8::bigint where pg_snapshot_xmax(pg_current_snapshot()) > \
                 $7::text::xid8)";
    // And so does a proof that is not what the cursor rests on.
    let proof = has_cursor.then(|| proof::statement(oid, &names.order));
    let token = |sequence| proof::token(oid, &names.order, sequence);
    let bound = if has_cursor {
        format!(
            "least({watched}, (select {BEGINNING} where $10::text is not null and not exists (\
             select from ({}) as p where p.token = $10 and p.drawn >= $11::bigint)))",
            token("$17::oid")
        )
    } else {
        format!("coalesce(least({watched}), length($10::text) + $11::bigint + $17::oid::bigint)")
    };
    let above =
        if has_cursor { format!("c.{order} > {bound}") } else { format!("{bound} is not null") };
    let (key, stream) = (key(config, 'c'), stream(config, 'c'));
    // A row that is held back keeps back its key, so that nothing of the key overtakes it.
    let wanted = |parked: &str, slots: &str, held: &str, held_keys: &str| {
        format!(
            "({parked}::text[] is null or {stream} <> all ({parked})) \
             and ({held}::text[] is null or (c.{id}::text <> all ({held}) and {key} <> all \
             ({held_keys}::text[]))) \
             and ({slots}::bigint is null or ({slots} >> (hashtextextended({key}, 0) & \
             63)::integer) & 1 = 1)"
        )
    };
    // In the delete itself, so that a claim of an older generation locks no row: the claims of the
    // slots' new owner would skip it and take what follows.
    let in_force =
        format!("(select generation from outflow.outbox where relation = {oid}::oid) = $9::bigint");
    let next = format!(
        "from {table} as c \
         where {above} and {} and ($16::text is null or {stream} = $16) \
         and (select current_setting('outflow.claim', true)) = 'open' and {in_force} and {ours} \
         order by c.{order} limit $4 for update skip locked",
        wanted("$5", "$6", "$14", "$15")
    );
    let all = list;
    let list = &one::numbered(all, "$12", "$13");
    // By their places alone, which is the fastest way. Children have those in common.
    let take = if plain {
        format!("{verb} where t.ctid = any (array(select c.ctid {next}))")
    } else {
        format!(
            "with next as materialized (select c.tableoid as child, c.ctid as place, c.xmin as \
                version {next}) \
             {verb} using next where t.ctid = any (array(select place from next)) \
             and t.tableoid = next.child and t.ctid = next.place"
        )
    };
    let claim = if has_cursor {
        format!("{take} returning {}", list.join(", "))
    } else {
        // RETURNING has no order, and here nothing that the relay could sort by.
        let returned: Vec<String> =
            list.iter().enumerate().map(|(n, sql)| format!("{sql} as c{n}")).collect();
        let selected: Vec<String> = (0..list.len()).map(|n| format!("c{n}")).collect();
        format!(
            "with taken as ({take} returning t.{order} as position, {}) select {} from taken \
                order by position",
            returned.join(", "),
            selected.join(", ")
        )
    };
    let settle_recovered = settle_recovered(config, columns, oid, plain, &Naming::of(config));
    let sweep = has_cursor.then(|| {
        let wanted = wanted("$2", "$3", "$4", "$5");
        format!(
            "select c.{order}::bigint, c.xmin::text from {table} as c \
             where c.{order} <= $1::bigint and {wanted} order by c.{order} limit 1"
        )
    });
    let known = has_cursor.then(|| token("$2::oid"));
    let generation = Generation::new(config, columns, &table, &is_as_it_was, known.as_deref());
    let raise = format!(
        "update outflow.outbox set generation = $2, slots = $3, mapping = $4, unsettled = \
            $5::text::jsonb \
         where relation = $1::oid and {is_as_it_was}"
    );
    let is_as_it_was = format!("select {is_as_it_was}");
    let wanted = &wanted("$2", "$3", "$4", "$5");
    let parts = one::Parts {
        oid,
        plain,
        table: &table,
        verb: &verb,
        key: &key,
        stream: &stream,
        has_cursor,
        wanted,
        ours: &ours,
    };
    let one = One::new(config, columns, all, &parts);
    Statements { claim, one, generation, proof, is_as_it_was, settle_recovered, raise, sweep }
}
