//! The effective configuration, as TOML that can be saved: every key, without secrets, each with
//! its source.

use std::fmt::Write as _;

use figment::Figment;
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Value};

use super::addresses::superseded;
use super::example::{ADDRESSES, EXAMPLE};
use super::layers::given;
use super::load::load;
use super::problem::origin;
use super::{Problem, Source};
use outflow_connect::address;

/// Writes what [`load`] would read. `origins`: with a comment behind each key.
///
/// # Errors
/// As [`load`].
pub fn show(source: &Source, origins: bool) -> Result<String, Problem> {
    load(source)?;
    let layers = given(source)?;
    let dict = |figment: &Figment| {
        figment.extract::<Dict>().map_err(|error| Problem::from_figment(&error))
    };
    let (given, default) = (dict(&layers)?, dict(&Figment::from(Toml::string(EXAMPLE)))?);
    let superseded = ADDRESSES
        .iter()
        .filter_map(|key| superseded(&layers, key).transpose())
        .collect::<Result<_, _>>()?;
    let mut page = Page { layers: &layers, superseded, origins, text: String::new() };
    page.section("", "", &given, &default);
    Ok(page.text)
}

struct Page<'a> {
    layers: &'a Figment,
    /// Keys that are given and do not count.
    superseded: Vec<String>,
    origins: bool,
    text: String,
}

impl Page<'_> {
    /// Values first, then the tables below: TOML wants it so. `path` names keys in origins,
    /// `header` in TOML.
    fn section(&mut self, path: &str, header: &str, given: &Dict, default: &Dict) {
        let mut keys: Vec<&String> =
            default.keys().chain(given.keys().filter(|key| !default.contains_key(*key))).collect();
        // A secret from a file replaces the default.
        keys.retain(|key| given.contains_key(*key) || !given.contains_key(&format!("{key}_file")));
        let below = |name: &str, key: &str| {
            if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") }
        };
        keys.retain(|key| !self.superseded.contains(&below(path, key)));
        let empty = Dict::new();
        for key in &keys {
            let (own, fallback) = (given.get(*key), default.get(*key));
            let Some(value) = own.or(fallback).filter(|value| !is_table(value)) else {
                continue;
            };
            self.line(&below(path, key), key, value, own.is_some());
        }
        for key in keys {
            let fallback = default.get(key);
            let (path, header) = (below(path, key), below(header, key));
            match given.get(key).or(fallback) {
                Some(Value::Dict(_, _)) => {
                    self.headline(&format!("[{header}]"));
                    let own = given.get(key).and_then(Value::as_dict).unwrap_or(&empty);
                    self.section(
                        &path,
                        &header,
                        own,
                        fallback.and_then(Value::as_dict).unwrap_or(&empty),
                    );
                }
                Some(value @ Value::Array(_, items)) if is_table(value) => {
                    self.array(&path, &header, items, given.contains_key(key), fallback);
                }
                _ => {}
            }
        }
    }

    /// The first item of the default fills the gaps of each.
    fn array(
        &mut self,
        path: &str,
        header: &str,
        items: &[Value],
        is_given: bool,
        default: Option<&Value>,
    ) {
        let empty = Dict::new();
        let first = match default {
            Some(Value::Array(_, items)) => {
                items.first().and_then(Value::as_dict).unwrap_or(&empty)
            }
            _ => &empty,
        };
        for (index, item) in items.iter().enumerate() {
            self.headline(&format!("[[{header}]]"));
            let own = item.as_dict().filter(|_| is_given).unwrap_or(&empty);
            self.section(&format!("{path}.{index}"), header, own, first);
        }
    }

    fn headline(&mut self, text: &str) {
        // Writing to memory cannot fail.
        let _ = writeln!(self.text, "\n{text}");
    }

    fn line(&mut self, path: &str, key: &str, value: &Value, is_given: bool) {
        let text = match value {
            Value::String(_, text) if ADDRESSES.contains(&path) && !text.is_empty() => {
                quoted(&address::redacted(text))
            }
            value => scalar(value),
        };
        let _ = write!(self.text, "{key} = {text}");
        if self.origins {
            let metadata = self.layers.get_metadata(value.tag()).filter(|_| is_given);
            let origin = metadata.and_then(|metadata| origin(metadata, path));
            let _ = write!(self.text, "  # {}", origin.as_deref().unwrap_or("default"));
        }
        self.text.push('\n');
    }
}

/// Whether a value has a headline of its own: a section, or a list of sections.
fn is_table(value: &Value) -> bool {
    match value {
        Value::Dict(..) => true,
        Value::Array(_, items) => items.iter().any(|item| item.as_dict().is_some()),
        _ => false,
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Bool(_, value) => value.to_string(),
        Value::Array(_, items) => {
            format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", "))
        }
        number => number.to_i128().map_or_else(|| "0".to_owned(), |number| number.to_string()),
    }
}

/// A basic string of TOML is written as one of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use outflow_connect::address::redacted;

    #[test]
    fn passwords_are_left_out() {
        let table = [
            ("postgres://u:hunter2@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u@h/d?connect_timeout=3", "postgres://u@h/d?connect_timeout=3"),
            ("postgres://u@h/d?password=hunter2", "postgres://u@h/d"),
            ("redis://:hunter2@h:6379", "redis://:***@h:6379"),
            ("host=h password=hunter2", "***"),
        ];
        for (address, expected) in table {
            assert_eq!(redacted(address), expected);
        }
    }
}
