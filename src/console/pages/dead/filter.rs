//! Which dead letters of the relay are meant, as addresses and forms have it.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::console::addresses::LETTERS;
use crate::console::link::link;
use crate::console::typed::{given, number, when};
use crate::operate::dead_letters::{Filter, Group};
use outflow_core::fault::Fault;

/// Fields of an address, or of a form; empty ones do not filter.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) outbox: String,
    pub(super) reason: String,
    pub(super) stream: String,
    /// Not empty: those that have no stream.
    pub(super) no_stream: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) key: String,
    pub(super) since: String,
    pub(super) until: String,
    /// The letter that a page begins with.
    pub(super) first: String,
    /// The last letter that was counted, and how many were.
    pub(super) last: String,
    pub(super) counted: String,
}

impl Asked {
    /// What a group has in common. `None`: its type is too long to be asked for, or is empty, as
    /// its stream may be: an empty field asks for all.
    pub(super) fn of_group(group: &Group) -> Option<Self> {
        let stream = group.stream.clone();
        if stream.as_deref() == Some("") {
            return None;
        }
        Some(Self {
            outbox: group.outbox.clone(),
            reason: group.reason.clone(),
            no_stream: if stream.is_none() { "1".to_owned() } else { String::new() },
            stream: stream.unwrap_or_default(),
            kind: group.kind.clone().filter(|kind| !kind.is_empty())?,
            ..Self::default()
        })
    }

    /// The filter that it stands for.
    pub(super) fn filter(&self) -> Result<Filter, Fault> {
        let stream =
            if self.no_stream.is_empty() { given(&self.stream) } else { Some(String::new()) };
        Ok(Filter {
            ids: number("id", &self.id)?.map(|id| vec![id]),
            outbox: given(&self.outbox),
            reason: given(&self.reason),
            stream,
            kind: given(&self.kind),
            key: given(&self.key),
            since: when("since", &self.since)?,
            until: when("until", &self.until)?,
            first: number("first", &self.first)?,
            last: number("last", &self.last)?,
            limit: None,
        })
    }

    /// The same choice as fields, with times that stay what they are.
    pub(super) fn fields(&self, filter: &Filter) -> Vec<(&'static str, String)> {
        let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
        vec![
            ("id", self.id.clone()),
            ("outbox", self.outbox.clone()),
            ("reason", self.reason.clone()),
            ("stream", self.stream.clone()),
            ("no_stream", self.no_stream.clone()),
            ("type", self.kind.clone()),
            ("key", self.key.clone()),
            ("since", time(filter.since)),
            ("until", time(filter.until)),
        ]
    }

    /// `path` with this choice, as it was typed.
    pub(super) fn at(&self, path: &str, more: &[(&str, &str)]) -> String {
        let own = [
            ("id", self.id.as_str()),
            ("outbox", &self.outbox),
            ("reason", &self.reason),
            ("stream", &self.stream),
            ("no_stream", &self.no_stream),
            ("type", &self.kind),
            ("key", &self.key),
            ("since", &self.since),
            ("until", &self.until),
        ];
        link(path, &[&own[..], more].concat())
    }

    /// The form that asks for others.
    pub(super) fn form(&self) -> Markup {
        let fields = [
            ("outbox", "Outbox", &self.outbox),
            ("reason", "Reason", &self.reason),
            ("stream", "Stream", &self.stream),
            ("type", "Type", &self.kind),
            ("key", "Key", &self.key),
            ("since", "Died since", &self.since),
            ("until", "Died until", &self.until),
        ];
        html! {
            form.filter method="get" action=(LETTERS) role="search" {
                @for (name, label, value) in fields {
                    label { (label) " " input type="text" name=(name) value=(value); }
                }
                label {
                    input type="checkbox" name="no_stream" value="1"
                        checked[!self.no_stream.is_empty()];
                    " without a stream"
                }
                button type="submit" { "Show" }
            }
            p.hint { "Times: a duration ago such as 90m, or 2026-01-31T12:00:00Z." }
        }
    }
}
