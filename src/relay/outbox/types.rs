//! Which types of columns make sense for which part of an event. The rest is refused: it would be
//! delivered as something that it is not, or could not be found again. Pure.

use crate::relay::options::{OutboxOptions, Settle};
use crate::relay::outbox::columns::Column;
use outflow_core::fault::{Fault, FaultKind};

/// What a part of an event needs of its column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// One text for each value, the same for equal ones.
    Identity,
    /// As that, and a name in Redis.
    Name,
    /// Values that come one after another.
    Order,
    /// A position of a kept outbox.
    Integer,
    /// A moment.
    Time,
    /// Anything that has a form as text, or bytes.
    Payload,
    /// A JSON object.
    Headers,
}

impl Need {
    fn is_met_by(self, column: &Column) -> bool {
        let kind = column.kind.rsplit('.').next().unwrap_or_default();
        let is_time =
            matches!(kind, "timestamp with time zone" | "timestamp without time zone" | "date");
        let is_json = matches!(kind, "json" | "jsonb");
        // Arrays, composites, geometry, ranges, pseudo-types; and what is a set of things by
        // itself.
        let is_many = matches!(column.category.as_str(), "A" | "C" | "G" | "R" | "P")
            || matches!(kind, "hstore" | "tsvector" | "tsquery" | "jsonpath");
        let is_float = matches!(kind, "real" | "double precision");
        match self {
            Self::Identity => !is_many && !is_json && !is_float && kind != "xml",
            Self::Name => !is_many && !is_json && !is_float && !matches!(kind, "xml" | "bytea"),
            Self::Order => !is_many && !is_json && !matches!(kind, "xml" | "boolean"),
            Self::Integer => matches!(kind, "smallint" | "integer" | "bigint"),
            Self::Time => is_time,
            Self::Payload => !is_many,
            Self::Headers => is_json || column.category == "S",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Identity => "an integer, numeric, uuid, text, bytea, an enum or a time",
            Self::Name => "text, an integer, numeric, uuid, an enum or a time",
            Self::Order => "an integer from a sequence, or another type whose values have an order",
            Self::Integer => "smallint, integer or bigint, which settle = \"keep\" needs",
            Self::Time => "timestamp with time zone, timestamp or date",
            Self::Payload => "json, jsonb, text, bytea, or another simple type",
            Self::Headers => "json, jsonb, or text that holds a JSON object",
        }
    }
}

impl Need {
    fn remedy(self) -> Option<&'static str> {
        match self {
            Self::Time => Some("convert the column, or let columns.time be \"\" or name another"),
            Self::Payload => Some("make it one by a generated column, as with to_jsonb(…)"),
            Self::Integer => {
                Some("let columns.order name such a column, or use settle = \"delete\"")
            }
            Self::Identity | Self::Name | Self::Order | Self::Headers => None,
        }
    }
}

/// Every mapped column whose type cannot be what it is mapped to.
pub(super) fn unfit(config: &OutboxOptions, columns: &[Column]) -> Vec<Fault> {
    let names = &config.columns;
    let mut wanted = vec![
        ("columns.id", Some(&names.id), Need::Identity),
        ("columns.order", Some(&names.order), Need::Order),
        ("columns.event_id", Some(&names.event_id), Need::Identity),
        ("columns.key", names.key.as_ref(), Need::Identity),
        ("columns.type", Some(&names.kind), Need::Identity),
        ("columns.payload", Some(&names.payload), Need::Payload),
        ("columns.headers", names.headers.as_ref(), Need::Headers),
        ("columns.time", names.time.as_ref(), Need::Time),
    ];
    // A position of a kept outbox is one.
    if matches!(config.settle, Settle::Keep(_)) {
        wanted.push(("columns.order", Some(&names.order), Need::Integer));
    }
    let in_stream: Vec<String> = config.stream.columns().map(str::to_owned).collect();
    wanted.extend(in_stream.iter().map(|column| ("stream", Some(column), Need::Name)));
    let complaint = |(key, name, need): (&str, Option<&String>, Need)| {
        let column =
            columns.iter().find(|column| Some(&column.name) == name && !need.is_met_by(column))?;
        let (name, kind) = (&column.name, &column.kind);
        let what = format!(
            "{key} names {name:?} of {}, which is {kind}; expected {}",
            config.table,
            need.in_words()
        );
        let fault = Fault::new(FaultKind::Unfit, what);
        Some(match need.remedy() {
            Some(remedy) => fault.remedy(remedy),
            None => fault,
        })
    };
    wanted.into_iter().filter_map(complaint).collect()
}
