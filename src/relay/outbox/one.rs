//! What keeps a row from being read whole, and the statements that look at one row alone when a
//! claim was refused. Pure.
//!
//! Memory is bounded by what is asked for, not by what rows contain: a driver reads a row whole
//! before anybody sees it, so each field of a claim comes only up to so many bytes. What that costs
//! is nearly nothing: for text and bytea the length is read without the value; jsonb and other
//! types are cut after they have been printed, which they are anyway. (308 bytes of jsonb can be
//! 131 MB of text: `[1e131000, …]`.)

use super::letter::{Letter, Source, letters};
use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::columns::Column;
use outflow_core::table_name::quote_identifier;

/// How many bytes a field may have.
const CAP: &str = "{cap}::integer";
/// What stands for a longer value of a text, bytea or json column: a JSON string that no writer can
/// know.
const MARKER: &str = "{marker}::text";
/// No compression of Postgres makes a value smaller than this part of it (lz4: 255, pglz: 91).
const COMPRESSION_MAX: i32 = 256;

/// Statements for one row. `$1` is its place (ctid, with its child) as text, unless something else
/// is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct One {
    /// The next rows in line: place and order value. `$1` above this order value, `$2` parked
    /// streams, `$3` the member's slots, `$4` rows that are held back, `$5` their keys, each of
    /// them or null, `$6` limit, `$7` this stream alone, or null.
    pub list: String,
    /// Claims it: `$2` to `$5` as above, `$6` the member's generation, `$7` how many bytes a field
    /// may have, `$8` what stands for a longer one.
    pub claim: String,
    /// Reads it as a claim would, and nothing else: `$2` and `$3` as `$7` and `$8` above.
    pub read: String,
    /// How many bytes its fields have together, if it is this member's: `$2` to `$5` as above.
    pub measure: String,
    /// Its primary key, its key and its event id.
    pub name: String,
    /// Each moves it to the dead letters, from whole to with nothing but its place. `$2` the
    /// member's generation, `$3` name of the outbox, `$4` the reason, `$5` the reason in words,
    /// `$6` what is missing in it.
    pub letters: Vec<Letter>,
}

/// What these statements share with the claim.
pub(super) struct Parts<'a> {
    pub(super) oid: u32,
    /// Neither partitioned nor inherited.
    pub(super) plain: bool,
    pub(super) table: &'a str,
    pub(super) verb: &'a str,
    pub(super) key: &'a str,
    pub(super) stream: &'a str,
    pub(super) has_cursor: bool,
    /// Which rows are this member's to take, by [`One::list`]'s parameters.
    pub(super) wanted: &'a str,
    /// Whether the table is the one that was examined.
    pub(super) ours: &'a str,
}

impl One {
    pub(super) fn new(
        config: &OutboxOptions,
        columns: &[Column],
        returned: &[String],
        parts: &Parts<'_>,
    ) -> Self {
        let Parts { oid, plain, table, verb, key, stream, has_cursor, wanted, ours } = *parts;
        let names = &config.columns;
        let (id, order) = (quote_identifier(&names.id), quote_identifier(&names.order));
        let event_id = quote_identifier(&names.event_id);
        // Children have ctids in common.
        let (place, here) = if plain {
            ("c.ctid::text".to_owned(), "c.ctid = $1::text::tid".to_owned())
        } else {
            let here = "c.ctid = split_part($1::text, ':', 2)::tid and c.tableoid = \
                split_part($1::text, ':', 1)::oid";
            ("c.tableoid::oid::text || ':' || c.ctid::text".to_owned(), here.to_owned())
        };
        let take = |wanted: &str, generation: &str| {
            format!(
                "with next as materialized (select c.tableoid as child, c.ctid as place, c.xmin \
                    as version from {table} as c \
                 where {here} and {wanted} and (select current_setting('outflow.claim', true)) = \
                 'open' \
                 and (select generation from outflow.outbox where relation = {oid}::oid) = \
                 {generation}::bigint \
                 and {ours} for update skip locked) \
                 {verb} using next where t.ctid = any (array(select place from next)) \
                 and t.tableoid = next.child and t.ctid = next.place"
            )
        };
        let (above, value) = if has_cursor {
            (format!("c.{order} > $1::bigint"), format!("c.{order}::bigint"))
        } else {
            ("$1::bigint is not null".to_owned(), "null::bigint".to_owned())
        };
        let of_place = |list: &str, of: &str| {
            format!(
                "select {list} from {table} as {of} where {}",
                here.replace("c.", &format!("{of}."))
            )
        };
        Self {
            list: format!(
                "select {place}, {value} from {table} as c where {above} and {wanted} \
                 and ($7::text is null or {stream} = $7) and {ours} \
                 order by c.{order} limit $6::bigint"
            ),
            claim: format!(
                "{} returning {}",
                take(wanted, "$6"),
                numbered(returned, "$7", "$8").join(", ")
            ),
            read: of_place(
                &numbered(returned, "$2", "$3").join(", ").replace("next.version", "t.xmin"),
                "t",
            ),
            measure: format!("{} and {wanted}", of_place(&measure(config, columns), "c")),
            name: of_place(&format!("c.{id}::text, {key}, c.{event_id}::text"), "c"),
            letters: match &config.settle {
                Settle::Delete => letters(config, columns, &Source::Deleted(&take("true", "$2"))),
                Settle::Keep(keep) => {
                    let key = &super::key::key(config, 't');
                    let source = Source::Kept { table, xid: &keep.xid, key };
                    letters(config, columns, &source)
                }
            },
        }
    }
}

/// A column as a claim returns it: whole up to the cap, or in a form that [`is_too_long`] knows.
pub(super) fn guarded(column: &str, kind: &str) -> String {
    match kind {
        // A null must stay one: it is not longer than anything.
        "name" => column.to_owned(),
        "text" | "character varying" => {
            format!(
                "case when octet_length({column}) > {CAP} then {MARKER} else {column}::text end"
            )
        }
        "bytea" => {
            format!(
                "case when octet_length({column}) > {CAP} then convert_to({MARKER}, 'UTF8') else \
                    {column} end"
            )
        }
        "json" => format!(
            "case when pg_column_size({column}) > {CAP} / {COMPRESSION_MAX} and \
                octet_length(json_send({column})) > {CAP} \
             then ({MARKER})::json else {column} end"
        ),
        // One more is its version.
        "jsonb" => format!("substr(jsonb_send({column}), 1, {CAP} + 2)"),
        _ => format!("substr(textsend({column}::text), 1, {CAP} + 1)"),
    }
}

/// Whether what came for a field stands for something longer.
pub(super) fn is_too_long(bytes: &[u8], cap: usize, marker: &str) -> bool {
    bytes.len() > cap || bytes == marker.as_bytes()
}

/// The columns of a claim with their two parameters.
pub(super) fn numbered(returned: &[String], cap: &str, marker: &str) -> Vec<String> {
    returned.iter().map(|sql| sql.replace("{cap}", cap).replace("{marker}", marker)).collect()
}

/// The bytes of all fields that may be long, each column once.
fn measure(config: &OutboxOptions, columns: &[Column]) -> String {
    let names = &config.columns;
    let fixed = [&names.id, &names.event_id, &names.kind, &names.payload].map(String::as_str);
    let optional = [&names.key, &names.headers].into_iter().flatten().map(String::as_str);
    let mut wanted: Vec<&str> =
        fixed.into_iter().chain(optional).chain(config.stream.columns()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut sum = "0::bigint".to_owned();
    for name in wanted {
        let Some(column) = columns.iter().find(|column| column.name == name) else { continue };
        let quoted = format!("c.{}", quote_identifier(name));
        let length = match column.kind.as_str() {
            "name" | "uuid" | "smallint" | "integer" | "bigint" => continue,
            "text" | "character varying" | "bytea" => format!("octet_length({quoted})"),
            "json" => format!("octet_length(json_send({quoted}))"),
            "jsonb" => format!("octet_length(jsonb_send({quoted}))"),
            _ => format!("octet_length({quoted}::text)"),
        };
        sum = format!("{sum} + coalesce({length}, 0)");
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_known_among_what_writers_write() {
        let marker = "\"5a0c\"";
        assert!(is_too_long(marker.as_bytes(), 100, marker));
        assert!(is_too_long(&[b'x'; 101], 100, marker));
        assert!(!is_too_long(&[b'x'; 100], 100, marker));
        assert!(!is_too_long(b"\"5a0d\"", 100, marker));
    }
}
