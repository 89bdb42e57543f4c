//! Which entries of a stream are asked for, as addresses have it.

use serde::Deserialize;

use crate::console::addresses::STREAM;
use crate::console::link::link;
use crate::console::typed::{given, when};
use crate::operate::streams::{Look, Wanted};
use outflow_core::fault::Fault;

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) key: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) event: String,
    pub(super) since: String,
    pub(super) until: String,
    pub(super) before: String,
    pub(super) after: String,
}

impl Asked {
    /// The same search, from somewhere else.
    pub(super) fn from(&self, before: &str, after: &str) -> String {
        link(
            STREAM,
            &[
                ("name", &self.name),
                ("key", &self.key),
                ("type", &self.kind),
                ("event", &self.event),
                ("since", &self.since),
                ("until", &self.until),
                ("before", before),
                ("after", after),
            ],
        )
    }

    pub(super) fn is_search(&self) -> bool {
        [&self.key, &self.kind, &self.event, &self.since, &self.until]
            .iter()
            .any(|field| !field.is_empty())
    }

    /// The entries that it asks for, and from where.
    pub(super) fn wanted(&self) -> Result<(Wanted, Look), Fault> {
        let id = |text: &str, name: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|bad| Fault::failed(format!("{name}: {bad}"))),
        };
        let look = match (id(&self.before, "before")?, id(&self.after, "after")?) {
            (Some(id), _) => Look::Before(id),
            (None, Some(id)) => Look::After(id),
            (None, None) => Look::Newest,
        };
        let wanted = Wanted {
            key: given(&self.key),
            kind: given(&self.kind),
            event_id: given(&self.event),
            since: when("since", &self.since)?,
            until: when("until", &self.until)?,
        };
        Ok((wanted, look))
    }
}
