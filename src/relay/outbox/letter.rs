//! The statements that move a row to the dead letters without it ever coming here: rows that are
//! too large, or that cannot be read. Pure.
//!
//! jsonb is kept as jsonb (`documents`), because as text it may be too much for the server itself;
//! bytes are kept as hexadecimal digits (`bytes`), because they need not be text. What cannot be
//! kept at all is fields (`missing`), so that a retry does not put an event back that is another
//! one.

use crate::relay::options::OutboxOptions;
use crate::relay::outbox::columns::Column;
use outflow_core::table_name::{quote_identifier, quote_literal};

/// One way to keep a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The statement; see [`One::letters`](super::one::One::letters).
    pub sql: String,
    /// What this way leaves out.
    pub missing: Vec<String>,
}

/// From whole to nothing but the row's place: whatever the server can still hand out is kept.
const LEFT_OUT: [&[&str]; 7] = [
    &[],
    &["payload"],
    &["headers"],
    &["payload", "headers"],
    &["payload", "headers", "key", "type", "time", "route"],
    &["payload", "headers", "key", "type", "time", "route", "event_id"],
    &["payload", "headers", "key", "type", "time", "route", "event_id", "row"],
];

/// Where letters take their row from.
pub(super) enum Source<'a> {
    /// This statement deletes it.
    Deleted(&'a str),
    /// It stays in the table of this name, and the letter stands for it. One statement writes the
    /// letters of many, in this order: `$1` their order values, `$2` where they were on their way
    /// to, if the row does not say it, `$4` the reasons, `$5` the reasons in words.
    Kept {
        /// The table, as a name in SQL.
        table: &'a str,
        /// The column of the transaction.
        xid: &'a str,
        /// The key of a row of `t`.
        key: &'a str,
    },
}

pub(super) fn letters(
    config: &OutboxOptions,
    columns: &[Column],
    source: &Source<'_>,
) -> Vec<Letter> {
    let fields = Fields { config, columns };
    let letter = |left_out: &&[&str]| Letter {
        sql: fields.statement(source, left_out),
        missing: left_out.iter().map(|&name| name.to_owned()).collect(),
    };
    LEFT_OUT.iter().map(letter).collect()
}

struct Fields<'a> {
    config: &'a OutboxOptions,
    columns: &'a [Column],
}

impl Fields<'_> {
    fn statement(&self, source: &Source<'_>, left_out: &[&str]) -> String {
        let names = &self.config.columns;
        let is_kept = |name: &str| !left_out.contains(&name);
        let kept =
            |name: &str, value: String| if is_kept(name) { value } else { "null".to_owned() };
        let optional = |name: &Option<String>| {
            name.as_ref().map_or_else(|| "null".to_owned(), |name| self.text(name))
        };
        let row = if is_kept("row") { self.text(&names.id) } else { "t.ctid::text".to_owned() };
        let values = [
            format!("coalesce({row}, '') as c1"),
            format!(
                "coalesce({}, '') as c2",
                kept("event_id", format!("{}::text", column(&names.event_id)))
            ),
            format!("{} as c3", kept("key", optional(&names.key))),
            format!("coalesce({}, '') as c4", kept("type", self.text(&names.kind))),
            format!(
                "{} as c5",
                kept("time", names.time.as_ref().map_or("null".to_owned(), |name| self.time(name)))
            ),
            format!("coalesce({}, ''::bytea) as c6", kept("payload", self.payload())),
            format!("{} as c7", kept("headers", self.headers())),
            format!("{} as c8", kept("route", self.stream())),
            format!("{} as c9", kept("route", self.route())),
            format!("{} as c10", self.bytes(left_out)),
            format!("{} as c11", self.documents(left_out)),
            format!("{} as c12", self.nulls(left_out)),
        ];
        let values = values.join(", ");
        let order = quote_identifier(&names.order);
        let (gone, more, stream, why, behind) = match source {
            Source::Deleted(take) => {
                (format!("{take} returning {values}"), "", "c8::text", "$4, $5", "")
            }
            Source::Kept { table, xid, key } => {
                let xid = quote_identifier(xid);
                let gone = format!(
                    "select {values}, t.{order}::bigint as c13, t.{xid}::text as c14, \
                     (hashtextextended({key}, 0) & 63)::text as c15, l.* \
                     from unnest($1::bigint[], $2::text[], $4::text[], $5::text[]) \
                     with ordinality as l (id, stream, reason, words, at) \
                     join {table} as t on t.{order} = l.id"
                );
                // The sort comes before the defaults are taken.
                let behind = " order by at on conflict (outbox, kept, xid) where kept is not null \
                    do nothing";
                let (stream, why) = ("coalesce(c8::text, stream)", "reason, words, c13, c14, c15");
                (gone, ", kept, xid, pending", stream, why, behind)
            }
        };
        // A table without a jsonb column and so on would have nulls of no type.
        format!(
            "with gone as ({gone}) \
             insert into outflow.dead_letter (outbox, \"row\", event_id, key, type, time, \
             payload, headers, stream, route, \
             bytes, documents, missing, reason, detail{more}) \
             select $3, c1, c2, c3::text, c4, c5::text, c6, c7::text, {stream}, c9::jsonb, \
             c10::jsonb, c11::jsonb, \
             nullif($6::text[] || c12, '{{}}'), {why} from gone{behind}"
        )
    }

    fn kind(&self, name: &str) -> &str {
        self.columns
            .iter()
            .find(|column| column.name == name)
            .map_or("", |column| column.kind.as_str())
    }

    /// Readable; bytes are kept beside it.
    fn text(&self, name: &str) -> String {
        match self.kind(name) {
            "bytea" => format!("encode({}, 'escape')", column(name)),
            _ => format!("{}::text", column(name)),
        }
    }

    fn time(&self, name: &str) -> String {
        let time = column(name);
        let utc = match self.kind(name) {
            "timestamp with time zone" => format!("{time} at time zone 'UTC'"),
            "timestamp without time zone" => time.clone(),
            _ => return self.text(name),
        };
        format!(
            "case when isfinite({time}) then to_char({utc}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') \
                else {time}::text end"
        )
    }

    fn payload(&self) -> String {
        let payload = column(&self.config.columns.payload);
        match self.kind(&self.config.columns.payload) {
            "bytea" => payload,
            "json" => format!("json_send({payload})"),
            "jsonb" => "null::bytea".to_owned(),
            _ => format!("convert_to({payload}::text, 'UTF8')"),
        }
    }

    fn headers(&self) -> String {
        match &self.config.columns.headers {
            Some(name) if self.kind(name) != "jsonb" => self.text(name),
            Some(_) | None => "null".to_owned(),
        }
    }

    /// The stream's name, if the row has one.
    fn stream(&self) -> String {
        let template = &self.config.stream;
        if template.columns().any(|name| self.kind(name) == "bytea") {
            return "null".to_owned();
        }
        let fields =
            template.columns().map(|name| format!("coalesce({}::text, '') <> ''", column(name)));
        let fields =
            std::iter::once("true".to_owned()).chain(fields).collect::<Vec<_>>().join(" and ");
        format!("case when {fields} then {} end", template.sql(column))
    }

    fn route(&self) -> String {
        object(self.config.stream.columns().map(|name| (name, self.text(name))))
            .unwrap_or_else(|| "'{}'".to_owned())
    }

    /// The exact bytes of what need not be text.
    fn bytes(&self, left_out: &[&str]) -> String {
        let hex = |name: &str| format!("encode({}, 'hex')", column(name));
        let is_bytes = |name: &&str| self.kind(name) == "bytea";
        let names = &self.config.columns;
        let fields = [
            ("key", names.key.as_deref()),
            ("type", Some(names.kind.as_str())),
            ("headers", names.headers.as_deref()),
        ];
        let fields = fields.into_iter().filter(|(field, _)| !left_out.contains(field));
        let fields =
            fields.filter_map(|(field, name)| name.filter(is_bytes).map(|name| (field, hex(name))));
        let route = self.config.stream.columns().filter(is_bytes).map(|name| (name, hex(name)));
        let route =
            object(route).filter(|_| !left_out.contains(&"route")).map(|route| ("route", route));
        object(fields.chain(route))
            .map_or_else(|| "null".to_owned(), |object| format!("jsonb_strip_nulls({object})"))
    }

    /// jsonb as it is, never printed.
    fn documents(&self, left_out: &[&str]) -> String {
        let names = &self.config.columns;
        let fields =
            [("payload", Some(names.payload.as_str())), ("headers", names.headers.as_deref())];
        let fields = fields.into_iter().filter(|(field, _)| !left_out.contains(field));
        let fields = fields.filter_map(|(field, name)| name.map(|name| (field, name)));
        let documents = fields
            .filter(|(_, name)| self.kind(name) == "jsonb")
            .map(|(field, name)| (field, column(name)));
        object(documents).unwrap_or_else(|| "null".to_owned())
    }

    /// What must have a value and has none, so that it cannot be put back as it was.
    fn nulls(&self, left_out: &[&str]) -> String {
        let names = &self.config.columns;
        let required = [("event_id", &names.event_id), ("type", &names.kind)];
        let required = required.into_iter().filter(|(field, _)| !left_out.contains(field));
        let null = |(field, name): (&str, &String)| {
            format!("case when {} is null then '{field}' end", column(name))
        };
        let nulls: Vec<String> = required.map(null).collect();
        format!("array_remove(array[{}]::text[], null)", nulls.join(", "))
    }
}

fn column(name: &str) -> String {
    format!("t.{}", quote_identifier(name))
}

/// A JSON object in SQL; `None` if it has no member.
fn object<'a>(members: impl Iterator<Item = (&'a str, String)>) -> Option<String> {
    let members: Vec<String> =
        members.map(|(name, value)| format!("{}, {value}", quote_literal(name))).collect();
    (!members.is_empty()).then(|| format!("jsonb_build_object({})", members.join(", ")))
}
