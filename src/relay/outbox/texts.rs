//! How the fields of a dead event become texts for Postgres: bytes need not be one, and the
//! database's encoding may not have every text. What is not kept by its text is kept as bytes
//! beside it.

use serde_json::Value;

use crate::relay::event::Event;
use crate::relay::options::OutboxOptions;

/// Which fields are bytes, in a database that does not take every text: there only ASCII is sure to
/// be taken. What comes from another column was a text of that database.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    columns: Vec<String>,
    pub(super) key: bool,
    pub(super) kind: bool,
    pub(super) headers: bool,
}

impl Texts {
    pub(super) fn new(config: &OutboxOptions, ascii: &[String]) -> Self {
        let names = &config.columns;
        let is_ascii = |name: Option<&String>| name.is_some_and(|name| ascii.contains(name));
        Self {
            columns: ascii.to_vec(),
            key: is_ascii(names.key.as_ref()),
            kind: is_ascii(Some(&names.kind)),
            headers: is_ascii(names.headers.as_ref()),
        }
    }

    pub(super) fn is_ascii(&self, column: &String) -> bool {
        self.columns.contains(column)
    }

    /// The exact bytes of what is no text there, as hexadecimal digits; `None` if everything is.
    pub(super) fn bytes_of<'a>(
        &self,
        event: &Event,
        route: impl Iterator<Item = (&'a String, Option<&'a [u8]>)>,
    ) -> Option<Value> {
        let hex = |bytes: &[u8]| Value::from(outflow_core::escape::hex(bytes));
        let kept = |name: &str, bytes: Option<&[u8]>, is_ascii| {
            Some((name.to_owned(), hex(bytes.filter(|bytes| is_no_text(bytes, is_ascii))?)))
        };
        let fields = [
            kept("key", event.key.as_deref(), self.key),
            kept("type", Some(&event.kind), self.kind),
            kept("headers", event.headers.as_deref(), self.headers),
        ];
        let mut object: serde_json::Map<String, Value> = fields.into_iter().flatten().collect();
        let route = route.filter_map(|(name, bytes)| kept(name, bytes, self.is_ascii(name)));
        let route: serde_json::Map<String, Value> = route.collect();
        if !route.is_empty() {
            object.insert("route".to_owned(), Value::Object(route));
        }
        (!object.is_empty()).then_some(Value::Object(object))
    }
}

fn is_no_text(bytes: &[u8], is_ascii: bool) -> bool {
    bytes.contains(&0) || std::str::from_utf8(bytes).is_err() || is_ascii && !bytes.is_ascii()
}

/// For people, and such that Postgres takes it.
pub(super) fn readable(bytes: &[u8], is_ascii: bool) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    if is_ascii { text.replace(|letter: char| !letter.is_ascii(), "?") } else { text }
}
