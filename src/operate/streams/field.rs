//! An entry to be shown: of each field the beginning, as text. What is no text is shown in
//! hexadecimal digits.

use jiff::Timestamp;
use serde::Serialize;

use outflow_connect::redis::Reply;
use outflow_consumer::EntryId;
use outflow_core::entry_field::{ID, KEY, TIME, TYPE};
use outflow_core::escape::hex;

/// Fields of one entry that are shown.
const FIELDS_MAX: usize = 64;
/// Bytes of a field's name that are shown.
const NAME_MAX: usize = 200;
/// What tells an event from others. Every other field may be part of what happened, or quote it as
/// errors do.
const PLAIN: [&str; 13] = [
    ID,
    TYPE,
    KEY,
    TIME,
    "partitionkey",
    "specversion",
    "source",
    "datacontenttype",
    "dead_at",
    "dead_stream",
    "dead_entry_id",
    "dead_group",
    "dead_attempts",
];

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// When it was appended, by its id.
    pub at: Option<Timestamp>,
    /// Its fields, the first ones.
    pub fields: Vec<Field>,
    /// How many fields it has.
    pub fields_found: usize,
    /// Size of all its names and values.
    pub bytes: usize,
}

/// A field of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// Its name, or the beginning of it.
    pub name: String,
    /// Its value, or the beginning of it. `None`: whoever asks may not see it.
    pub text: Option<String>,
    /// Whether these are hexadecimal digits, because the value is no text.
    pub is_hex: bool,
    /// Size of the whole value.
    pub bytes: usize,
    /// Whether there is more of it.
    pub is_cut: bool,
}

impl Entry {
    /// The text of a field, as far as it is shown.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.name == name)?.text.as_deref()
    }

    /// The ordering key, in whichever format it was written.
    pub fn key(&self) -> Option<&str> {
        self.text(KEY).or_else(|| self.text("partitionkey")).filter(|key| !key.is_empty())
    }

    /// An item of `XRANGE`: of each value at most so many bytes. Without `contents` only what tells
    /// the event from others.
    pub(super) fn of(item: &Reply, bytes_max: usize, contents: bool) -> Option<Self> {
        let [id, fields] = item.items() else { return None };
        let id = id.string()?;
        let pairs = fields.items().chunks_exact(2);
        let shown = pairs.clone().take(FIELDS_MAX).map(|pair| {
            let (name, _, _) = shown(bytes(&pair[0]), NAME_MAX);
            let value = bytes(&pair[1]);
            let (text, is_hex, is_cut) = shown(value, bytes_max);
            let text = (contents || PLAIN.contains(&name.as_str())).then_some(text);
            Field { name, text, is_hex, bytes: value.len(), is_cut }
        });
        Some(Self {
            at: id.parse::<EntryId>().ok().and_then(EntryId::appended_at),
            fields: shown.collect(),
            fields_found: pairs.len(),
            bytes: size(item),
            id,
        })
    }
}

/// Size of the names and values of an entry.
pub(super) fn size(item: &Reply) -> usize {
    let fields = item.items().get(1).map(Reply::items).unwrap_or_default();
    fields.iter().map(|field| bytes(field).len()).sum()
}

/// A field's value, byte for byte.
pub(super) fn value<'a>(item: &'a Reply, name: &str) -> Option<&'a [u8]> {
    let fields = item.items().get(1)?.items();
    let mut pairs = fields.chunks_exact(2);
    pairs.find(|pair| bytes(&pair[0]) == name.as_bytes()).map(|pair| bytes(&pair[1]))
}

fn bytes(reply: &Reply) -> &[u8] {
    reply.text().map(|bytes| &bytes[..]).unwrap_or_default()
}

/// The beginning as text, whether it is hexadecimal digits, and whether there is more.
fn shown(value: &[u8], bytes_max: usize) -> (String, bool, bool) {
    let part = &value[..value.len().min(bytes_max)];
    let is_cut = part.len() < value.len();
    let text = match std::str::from_utf8(part) {
        Ok(text) => Some(text),
        // Cut within a letter.
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(&part[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    if let Some(text) = text {
        return (text.to_owned(), false, is_cut);
    }
    let part = &part[..part.len().min(bytes_max / 2)];
    (hex(part), true, part.len() < value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_shown_in_digits_and_what_is_long_is_cut() {
        let table: [(&[u8], usize, &str, bool, bool); 6] = [
            (b"", 10, "", false, false),
            (b"abc", 3, "abc", false, false),
            (b"abcd", 3, "abc", false, true),
            ("a\u{e4}".as_bytes(), 2, "a", false, true),
            (b"\xff\x00", 10, &hex(b"\xff\x00"), true, false),
            (b"\xff\x00abcdefgh", 8, &hex(b"\xff\x00ab"), true, true),
        ];
        for (value, max, text, is_hex, is_cut) in table {
            assert_eq!(shown(value, max), (text.to_owned(), is_hex, is_cut), "{value:?}");
        }
    }

    #[test]
    fn who_may_not_see_contents_sees_what_tells_events_apart() {
        let text = |text: &str| Reply::Text(text.to_owned().into());
        let fields = ["id", "e-1", "type", "T", "payload", "{}", "headers", "{}", "x", "y"];
        let item = Reply::List(vec![
            text("1700000000000-0"),
            Reply::List(fields.iter().map(|field| text(field)).collect()),
        ]);
        let entry = Entry::of(&item, 100, false).expect("an entry");
        let seen: Vec<&str> = entry
            .fields
            .iter()
            .filter(|field| field.text.is_some())
            .map(|field| field.name.as_str())
            .collect();
        assert_eq!(seen, ["id", "type"]);
        assert_eq!((entry.fields_found, entry.bytes), (5, 30));
    }
}
