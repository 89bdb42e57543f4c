//! From a row to the name of its stream: the template of the configuration, in Rust and in SQL.
//! Pure.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::relay::event::Batch;

/// A stream name with column names in braces, such as `events.{aggregate_type}`. `{{` and `}}` are
/// literal braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// The n-th of [`Template::columns`].
    Column(String),
}

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; expected a stream name such as events.{{aggregate_type}}, with column names in braces"
)]
pub struct BadTemplate(&'static str);

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let (mut parts, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else if let Some(after) = from.strip_prefix('{') {
                let (column, after) =
                    after.split_once('}').ok_or(BadTemplate("a brace is not closed"))?;
                if column.is_empty() || column.contains('{') {
                    return Err(BadTemplate("the braces hold no column name"));
                }
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Column(column.to_owned()));
                rest = after;
            } else {
                return Err(BadTemplate("a brace is closed that was not opened"));
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        if parts.is_empty() {
            return Err(BadTemplate("it is empty"));
        }
        Ok(Self { parts })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Column(column) => write!(f, "{{{column}}}"),
        })
    }
}

impl Template {
    /// The columns it names, in order, repeated ones repeated.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Column(column) => Some(column.as_str()),
        })
    }

    /// The stream's name for these values of [`Template::columns`]; `None` if one is null or empty,
    /// or not UTF-8.
    pub fn render(&self, values: &[Option<Bytes>]) -> Option<String> {
        let mut values = values.iter();
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Column(_) => {
                    let value = values.next()?.as_ref().filter(|value| !value.is_empty())?;
                    name.push_str(std::str::from_utf8(value).ok()?);
                }
            }
        }
        Some(name)
    }

    /// The part that decides in which slot of a Redis cluster every stream is. That is the hash tag
    /// if the text before the first column has one, or the whole name if it has no column. `None`:
    /// the streams may be in different slots.
    pub fn hash_tag(&self) -> Option<&str> {
        let Part::Text(text) = self.parts.first()? else { return None };
        let Some((_, tag)) = text.split_once('{') else {
            return (self.parts.len() == 1 && !text.contains('}')).then_some(text.as_str());
        };
        // `{}` is no tag, and whatever comes behind it is none either.
        tag.split_once('}').map(|(tag, _)| tag).filter(|tag| !tag.is_empty())
    }

    /// Whether a row can have a stream of this name.
    pub fn fits(&self, name: &str) -> bool {
        // Where the next part may begin. Not by trying one split after another, whose number grows
        // with each column.
        let mut begins = vec![0];
        for part in &self.parts {
            begins = match part {
                Part::Text(text) => {
                    let here = |at: &&usize| name[**at..].starts_with(text.as_str());
                    begins.iter().filter(here).map(|at| at + text.len()).collect()
                }
                // One letter or more, up to anywhere.
                Part::Column(_) => {
                    let first = begins.first().copied().unwrap_or(name.len());
                    let ends = name[first..].char_indices().map(|(at, _)| first + at).skip(1);
                    ends.chain((first < name.len()).then_some(name.len())).collect()
                }
            };
        }
        begins.contains(&name.len())
    }

    /// The pattern that every name fits, as Redis's `SCAN … MATCH` and ACLs take it.
    pub fn glob(&self) -> String {
        let mut glob = String::new();
        for part in &self.parts {
            match part {
                Part::Column(_) => glob.push('*'),
                Part::Text(text) => {
                    for letter in text.chars() {
                        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
                            glob.push('\\');
                        }
                        glob.push(letter);
                    }
                }
            }
        }
        glob
    }

    /// The same in SQL, so that a claim can leave out the rows of parked streams. `column` quotes a
    /// column.
    pub fn sql(&self, column: impl Fn(&str) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => format!("'{}'", text.replace('\'', "''")),
            // As bytes, whatever collations the columns have.
            Part::Column(name) => format!("coalesce({}::text collate \"C\", '')", column(name)),
        };
        self.parts.iter().map(part).collect::<Vec<_>>().join(" || ")
    }
}

/// The streams of one batch: each name once, and for each event the number of its stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// The names, in order of first use.
    pub streams: Vec<String>,
    /// For each event the position of its stream in `streams`; `None` if the row names no stream.
    pub of_event: Vec<Option<usize>>,
}

/// Finds each event's stream. A name is rendered once for all rows that have the same values.
pub fn route(template: &Template, batch: &Batch) -> Routes {
    let mut routes =
        Routes { streams: Vec::new(), of_event: Vec::with_capacity(batch.events.len()) };
    let mut seen: HashMap<&[Option<Bytes>], Option<usize>> = HashMap::new();
    for index in 0..batch.events.len() {
        let values = batch.route_of(index);
        let stream = *seen.entry(values).or_insert_with(|| {
            let name = template.render(values)?;
            // Different values may give the same name: {a}.{b} with "x.y","z" and "x","y.z".
            Some(routes.streams.iter().position(|known| *known == name).unwrap_or_else(|| {
                routes.streams.push(name);
                routes.streams.len() - 1
            }))
        });
        routes.of_event.push(stream);
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const N: usize>(texts: [Option<&'static str>; N]) -> Vec<Option<Bytes>> {
        texts.into_iter().map(|text| text.map(Bytes::from)).collect()
    }

    #[test]
    fn templates_parse_and_print_as_they_were_written() {
        let good = [
            "events",
            "events.{aggregate_type}",
            "{a}",
            "{a}{b}",
            "x:{a}:y:{b}:z",
            "{{t}}.{a}",
            "{{{a}}}",
            "{{}}",
        ];
        for text in good {
            assert_eq!(
                text.parse::<Template>().map(|template| template.to_string()),
                Ok(text.to_owned())
            );
        }
        let bad = ["", "{", "}", "a}", "{}", "{a", "{a{b}}", "a}{b}"];
        for text in bad {
            assert!(text.parse::<Template>().is_err(), "{text:?} was taken");
        }
        assert_eq!((good.len(), bad.len()), (8, 8));
    }

    #[test]
    fn doubled_braces_are_a_hash_tag() {
        let table = [
            ("{{t}}.{a}", "{t}.order", Some("t")),
            ("events.{{t}}.{a}", "events.{t}.order", Some("t")),
            ("events", "events", Some("events")),
            ("events.{a}", "events.order", None),
            // A value may have braces of its own, which come first.
            ("{a}.{{t}}", "order.{t}", None),
            ("{{{a}}}", "{order}", None),
            ("{{}}.{{t}}.{a}", "{}.{t}.order", None),
            ("a}}b", "a}b", None),
        ];
        for (text, name, tag) in table {
            let template: Template = text.parse().expect(text);
            let columns = values([Some("order")]);
            assert_eq!(template.render(&columns).as_deref(), Some(name), "{text}");
            assert_eq!(template.hash_tag(), tag, "{text}");
            if let Some(tag) = tag {
                assert_eq!(
                    outflow_connect::redis::slot(name),
                    outflow_connect::redis::slot(&format!("journal:{{{tag}}}")),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_null_or_empty_column_gives_no_stream() {
        let template: Template = "events.{a}".parse().expect("a template");
        assert_eq!(template.render(&values([Some("order")])).as_deref(), Some("events.order"));
        assert_eq!(template.render(&values([Some("")])), None);
        assert_eq!(template.render(&values([None])), None);
    }

    #[test]
    fn sql_quotes_text_and_columns() {
        let template: Template = "it's.{a}".parse().expect("a template");
        assert_eq!(
            template.sql(|name| format!("c.\"{name}\"")),
            "'it''s.' || coalesce(c.\"a\"::text collate \"C\", '')"
        );
    }

    #[test]
    fn a_glob_fits_every_name_and_no_text_is_a_wildcard() {
        let table = [("events", "events"), ("e*[{a}]?.{b}", "e\\*\\[*\\]\\?.*"), ("{a}", "*")];
        for (text, glob) in table {
            let template: Template = text.parse().expect("a template");
            assert_eq!(template.glob(), glob);
        }
    }

    #[test]
    fn a_name_fits_if_a_row_can_have_it() {
        let table = [
            ("events", "events", true),
            ("events", "event", false),
            ("events.{a}", "events.order", true),
            ("events.{a}", "events.", false),
            ("events.{a}", "orders.order", false),
            ("{{t}}.{a}.x", "{t}.é.x", true),
            ("{{t}}.{a}.x", "{t}.x", false),
            ("{a}.{b}", "a.b.c", true),
            ("{a}.{b}", "ab", false),
            ("{a}{b}", "é", false),
            ("{a}{b}", "éé", true),
            ("{a}", "", false),
        ];
        for (text, name, fits) in table {
            let template: Template = text.parse().expect("a template");
            assert_eq!(template.fits(name), fits, "{text} {name}");
        }
        let many: Template = "{a}-{b}-{c}-{d}-{e}-{f}-{g}-{h}!".parse().expect("a template");
        assert!(!many.fits(&"-".repeat(2_000)), "at once");
    }

    #[test]
    fn equal_names_share_a_stream() {
        let template: Template = "{a}.{b}".parse().expect("a template");
        let event = crate::relay::event::Event {
            row: Bytes::new(),
            order: None,
            id: Bytes::new(),
            key: None,
            kind: Bytes::new(),
            time: None,
            payload: Bytes::new(),
            headers: None,
        };
        let route_values = values([
            Some("x.y"),
            Some("z"),
            Some("x"),
            Some("y.z"),
            None,
            Some("z"),
            Some("q"),
            Some("q"),
        ]);
        let batch =
            Batch { events: vec![event; 4], route: route_values, route_width: 2, passage: None };
        let routes = route(&template, &batch);
        assert_eq!(routes.streams, ["x.y.z", "q.q"]);
        assert_eq!(routes.of_event, [Some(0), Some(0), None, Some(1)]);
    }
}
