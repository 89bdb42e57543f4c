//! Events as the parameters of a statement.

use serde::Serialize;
use uuid::Uuid;

use crate::event::NewEvent;

/// One event as the six parameters of an insert.
pub(crate) struct Row<'a> {
    pub(crate) event_id: Uuid,
    pub(crate) aggregate_type: &'a str,
    pub(crate) aggregate_id: &'a str,
    pub(crate) event_type: &'a str,
    pub(crate) payload: String,
    pub(crate) headers: String,
}

/// Several events, an array for each parameter.
#[derive(Default)]
pub(crate) struct Rows<'a> {
    pub(crate) event_ids: Vec<Uuid>,
    pub(crate) aggregate_types: Vec<&'a str>,
    pub(crate) aggregate_ids: Vec<&'a str>,
    pub(crate) event_types: Vec<&'a str>,
    pub(crate) payloads: Vec<String>,
    pub(crate) headers: Vec<String>,
}

impl<'a> Row<'a> {
    pub(crate) fn of<P: Serialize + ?Sized>(
        event: &'a NewEvent<'_, P>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            event_id: event.event_id,
            aggregate_type: &event.aggregate_type,
            aggregate_id: &event.aggregate_id,
            event_type: &event.event_type,
            payload: serde_json::to_string(event.payload)?,
            headers: serde_json::to_string(&event.headers)?,
        })
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn of<P: Serialize + ?Sized>(
        events: &'a [NewEvent<'_, P>],
    ) -> Result<Self, serde_json::Error> {
        let mut rows = Self::default();
        for event in events {
            let row = Row::of(event)?;
            rows.event_ids.push(row.event_id);
            rows.aggregate_types.push(row.aggregate_type);
            rows.aggregate_ids.push(row.aggregate_id);
            rows.event_types.push(row.event_type);
            rows.payloads.push(row.payload);
            rows.headers.push(row.headers);
        }
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        self.event_ids.len()
    }
}
