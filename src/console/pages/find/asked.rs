//! What is looked for, as addresses have it.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::Config;
use crate::console::layout::Section;
use crate::console::parts::shown;
use crate::console::typed::when;
use crate::operate::find::Wanted;
use outflow_core::fault::Fault;
use outflow_core::trace_parent::TraceParent;

/// What a text can be.
const KINDS: [(&str, &str); 4] = [
    ("", "Whatever it is"),
    ("event", "Event id"),
    ("key", "Key"),
    ("trace", "Trace id or traceparent"),
];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) text: String,
    by: String,
    pub(super) outbox: String,
    since: String,
}

impl Asked {
    /// What it can mean, the most likely first.
    pub(super) fn wanted(&self) -> Result<Vec<Wanted>, Fault> {
        let text = self.text.trim().to_owned();
        let trace = trace(&text).map(Wanted::Trace);
        match self.by.as_str() {
            "event" => Ok(vec![Wanted::EventId(text)]),
            "key" => Ok(vec![Wanted::Key(text)]),
            "trace" => trace.map(|trace| vec![trace]).ok_or_else(|| {
                Fault::failed("a trace id has 32 hexadecimal digits")
                    .remedy("give it, or a whole traceparent")
            }),
            _ => Ok([Wanted::EventId(text.clone())]
                .into_iter()
                .chain(trace)
                .chain([Wanted::Key(text)])
                .collect()),
        }
    }

    pub(super) fn since(&self) -> Result<Option<Timestamp>, Fault> {
        when("look back to", &self.since)
    }

    pub(super) fn form(&self, config: &Config) -> Markup {
        html! {
            form.filter method="get" action=(Section::Find.path()) role="search" {
                label { "Event id, key or trace id "
                    input type="search" name="text" value=(self.text) required;
                }
                label { "It is "
                    select name="by" {
                        @for (name, label) in KINDS {
                            option value=(name) selected[name == self.by] { (label) }
                        }
                    }
                }
                label { "Outbox "
                    select name="outbox" {
                        option value="" { "all" }
                        @for outbox in &config.outboxes {
                            option value=(outbox.name) selected[outbox.name == self.outbox] {
                                (shown(&outbox.name))
                            }
                        }
                    }
                }
                label { "Look back to " input type="text" name="since" value=(self.since); }
                button type="submit" { "Find" }
            }
            p.hint {
                "Times: a duration ago such as 2d, or 2026-01-31T12:00:00Z. Without one, the \
                 newest 100,000 entries of each stream are looked at."
            }
        }
    }
}

/// The id of a trace.
fn trace(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    TraceParent::trace_id_of(&text).map(str::to_owned).or(is_id.then_some(text.clone()))
}
