//! Events with a counter for each key, so that loss, doubles and disorder show.

use std::collections::{BTreeMap, HashSet};

use super::{Entry, Stage};

/// `rows` events spread over `keys` keys; the payload has the key's own counter, 1, 2, 3 …
pub(crate) struct Numbered {
    pub(crate) rows: i64,
    pub(crate) keys: i64,
}

impl Numbered {
    /// Inserts them in one statement.
    pub(crate) async fn insert(&self, stage: &Stage) {
        self.insert_into(stage, "public.outbox").await;
    }

    pub(crate) async fn insert_into(&self, stage: &Stage, table: &str) {
        let Self { rows, keys } = self;
        stage
            .sql(&format!(
                "insert into {table} (aggregate_type, aggregate_id, event_type, payload) \
                 select 'order', 'k' || i % {keys}, 'Counted', \
                   jsonb_build_object('key', 'k' || i % {keys}, 'n', i / {keys} + 1, 'pad', \
                   repeat('x', 200)) \
                 from generate_series(0, {rows} - 1) i"
            ))
            .await;
    }

    /// Asserts that a stream has each of them once, in order for its key.
    pub(crate) async fn check(&self, stage: &Stage, stream: &str) {
        let entries = stage.entries(stream).await;
        let counted = check_numbered(&entries);
        let expected: BTreeMap<String, i64> = (0..self.keys)
            .map(|key| (format!("k{key}"), (self.rows - key + self.keys - 1) / self.keys))
            .collect();
        assert_eq!(counted, expected, "events of each key");
    }
}

/// Asserts that nothing is doubled and that each key counts 1, 2, 3 …; returns how far each counts.
pub(crate) fn check_numbered(entries: &[Entry]) -> BTreeMap<String, i64> {
    let mut seen = HashSet::new();
    let mut counted: BTreeMap<String, i64> = BTreeMap::new();
    for (position, entry) in entries.iter().enumerate() {
        assert!(seen.insert(entry.field("id").to_owned()), "doubled at {position}: {entry:?}");
        let payload: serde_json::Value =
            serde_json::from_str(entry.field("payload")).expect("JSON");
        let key = payload["key"].as_str().expect("a key");
        assert_eq!(entry.field("key"), key);
        let last = counted.entry(key.to_owned()).or_default();
        assert_eq!(
            payload["n"].as_i64(),
            Some(*last + 1),
            "out of order or lost at {position}: {entry:?}"
        );
        *last += 1;
    }
    counted
}
