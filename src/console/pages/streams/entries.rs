//! Entries of a stream in a list, and how far a search came.

use maud::{Markup, html};

use super::asked::Asked;
use crate::console::addresses;
use crate::console::contents::fields;
use crate::console::parts::{number, shown, time};
use crate::operate::streams::{Entry, Page, Seen};

/// Some entries of one stream.
pub(super) struct Shown<'a> {
    pub(super) stream: &'a str,
    pub(super) entries: &'a [Entry],
}

pub(super) fn list(shown: &Shown<'_>) -> Markup {
    html! {
        @for entry in shown.entries { (one(shown.stream, entry)) }
    }
}

fn one(stream: &str, entry: &Entry) -> Markup {
    html! {
        article.entry {
            h3 {
                a href=(addresses::entry(stream, &entry.id)) { (shown(&entry.id)) }
                @if let Some(at) = entry.at { " " span.hint { (time(at)) } }
            }
            (fields(entry))
        }
    }
}

/// How far was looked, and the ways to more.
pub(super) fn how_far(asked: &Asked, page: &Page) -> Markup {
    let looked = number(i64::try_from(page.looked).unwrap_or(i64::MAX));
    let towards_newer = asked.before.is_empty() && !asked.after.is_empty();
    let ids = |entry: Option<&Entry>| entry.map(|entry| entry.id.clone()).unwrap_or_default();
    let (first, last) = (ids(page.entries.first()), ids(page.entries.last()));
    // A search that was cut short goes on behind the last entry that it has looked at.
    let beyond = page.last_looked.clone().unwrap_or_default();
    let beyond = if page.seen == Seen::Bounded { Some(beyond) } else { None };
    let (older, newer) = match (towards_newer, beyond) {
        (false, Some(beyond)) => (beyond, first),
        (true, Some(beyond)) => (last, beyond),
        (_, None) => (last, first),
    };
    let has_older = !older.is_empty() && (towards_newer || page.seen != Seen::All);
    let is_newest = asked.before.is_empty() && asked.after.is_empty();
    let is_at_end = is_newest || towards_newer && page.seen == Seen::All;
    let has_newer = !newer.is_empty() && !is_at_end;
    let end = if towards_newer { "newer" } else { "older" };
    html! {
        @if asked.is_search() {
            p.notice role="status" {
                (page.entries.len()) " found in " (looked) " entries that were looked at"
                @match page.seen {
                    Seen::All => ", which are all in that direction.",
                    Seen::Enough => "; there may be more.",
                    Seen::Bounded => {
                        ". One search looks at no more: go on to " (end) " entries."
                    }
                }
            }
        }
        nav.pages aria-label="Pages of entries" {
            @if has_newer { a href=(asked.from("", &newer)) { "Newer" } }
            @if !is_newest { a href=(asked.from("", "")) { "Newest" } }
            @if has_older { a href=(asked.from(&older, "")) { "Older" } }
        }
    }
}
