//! The series that are exported and those that rules, dashboard and guide name are the same.

use std::collections::{BTreeMap, BTreeSet};

use super::install::read;
use crate::support::{LIMIT, Numbered, Stage, outbox};

/// Words that look like series and are none: roles, a label, a trigger.
const NO_SERIES: [&str; 5] =
    ["outflow_migrator", "outflow_operator", "outflow_relay", "outflow_runbooks", "outflow_wake"];
/// The page that explains series and alerts, from `deploy/`.
const OPERATING: &str = "../docs/operating.md";
/// Named already, not exported yet. A name is taken off as soon as the relay exports it.
pub(super) const PLANNED: [&str; 0] = [];

/// Names of the series in a text of the exposition format, with their types.
fn exported(metrics: &str) -> BTreeMap<&str, &str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

/// Every word of a text that starts as our series do.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = |word: &&str| {
        ["outflow_", "process_"].iter().any(|prefix| word.starts_with(prefix) && word != prefix)
    };
    words.filter(ours).map(str::to_owned).collect()
}

/// The series that a sample belongs to: `_bucket`, `_sum` and `_count` are a histogram's.
fn series_of(sample: &str, exported: &BTreeMap<&str, &str>) -> String {
    let histogram =
        ["_bucket", "_sum", "_count"].into_iter().find_map(|part| sample.strip_suffix(part));
    let histogram = histogram.filter(|name| exported.get(name) == Some(&"histogram"));
    histogram.unwrap_or(sample).to_owned()
}

/// What a consumer that is built with the library exports.
fn of_a_consumer() -> String {
    let registry = prometheus::Registry::new();
    let settings = outflow_consumer::Settings::builder("events.order", "inventory", "one");
    let settings = settings.build().expect("settings");
    let _metrics = outflow_consumer::Metrics::new(&registry, &settings).expect("series");
    prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("a text")
}

#[tokio::test]
async fn every_series_that_is_named_is_exported_and_the_other_way_round() {
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    Numbered { rows: 10, keys: 2 }.insert(&stage).await;
    stage.drained().await;
    // Streams are looked at every few seconds.
    stage.command("XGROUP", &["CREATE", "events.order", "billing", "0"]).await;
    let looked = outflow_local::eventually(LIMIT, "a look at the group", async || {
        stage.metrics().await.contains("outflow_stream_group_lag_entries{")
    });
    looked.await.expect("series of the group");
    let metrics = stage.metrics().await + &of_a_consumer();
    let exported = exported(&metrics);

    let mut everywhere = BTreeSet::new();
    for file in
        ["prometheus/rules.yml", "prometheus/rules_test.yml", "grafana/outflow.json", OPERATING]
    {
        let named = named(&read(file));
        assert!(named.len() >= 5, "{file} names only {named:?}");
        for sample in named.iter().filter(|name| !NO_SERIES.contains(&name.as_str())) {
            let series = series_of(sample, &exported);
            let known =
                exported.contains_key(series.as_str()) || PLANNED.contains(&series.as_str());
            assert!(known, "deploy/{file} names {sample}, which /metrics does not have");
            if file != "prometheus/rules_test.yml" {
                everywhere.insert(series);
            }
        }
    }
    for name in exported.keys().filter(|name| !name.starts_with("outflow_consumer_")) {
        assert!(
            everywhere.contains(*name),
            "neither rules nor dashboard nor docs/operating.md \
            names {name}"
        );
    }
    for name in PLANNED {
        assert!(!exported.contains_key(name), "{name} is exported now: take it off PLANNED");
    }
}

/// Each alert has its section in the guide, and its `runbook_url` is a whole address that ends
/// there.
#[test]
fn every_alert_is_explained() {
    let (rules, guide) = (read("prometheus/rules.yml"), read(OPERATING));
    let alerts: BTreeSet<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts.len(), 25);
    for alert in alerts {
        assert!(
            guide.contains(&format!("### {alert}\n")),
            "docs/operating.md does not explain \
            {alert}"
        );
        let anchor = format!(
            "runbook_url: '{{{{ with $externalLabels.outflow_runbooks }}}}{{{{ . }}}}{{{{ else \
                }}}}https://runbooks.example.com/outflow{{{{ end }}}}#{}'",
            alert.to_lowercase()
        );
        assert!(rules.contains(&anchor), "rules.yml: {alert} has no {anchor}");
    }
}
