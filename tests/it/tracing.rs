//! Spans of batches, as a collector of OpenTelemetry hears them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use outflow_local::eventually;
use parking_lot::Mutex;
use prost::Message as _;

use crate::support::{LIMIT, Stage, outbox};

const CLIENT: i32 = 3;
const ERROR: i32 = 2;

/// What was heard: the resource's attributes and the spans of each request.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>);

struct Collector {
    endpoint: String,
    heard: Heard,
    task: tokio::task::JoinHandle<()>,
}

impl Collector {
    async fn start() -> Self {
        let heard = Heard::default();
        let routes = Router::new().route("/v1/traces", post(export)).with_state(heard.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let task =
            tokio::spawn(async move { axum::serve(listener, routes).await.expect("serving") });
        Self { endpoint, heard, task }
    }

    fn spans(&self) -> Vec<Span> {
        let heard = self.heard.0.lock();
        let resources = heard.iter().flat_map(|(_, request)| request.resource_spans.clone());
        resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    fn resource(&self) -> BTreeMap<String, String> {
        let heard = self.heard.0.lock();
        attributes(&heard[0].1.resource_spans[0].resource.as_ref().expect("a resource").attributes)
    }

    fn header(&self, name: &str) -> String {
        let heard = self.heard.0.lock();
        heard[0].0.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn export(State(heard): State<Heard>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).expect("a request of OTLP");
    heard.0.lock().push((headers, request));
    StatusCode::OK
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let shown = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |one: &KeyValue| Some((one.key.clone(), shown(one.value.as_ref()?.value.as_ref()?)));
    list.iter().filter_map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn configured(endpoint: &str, more: &str) -> String {
    format!("[tracing]\nendpoint = \"{endpoint}\"\n{}", outbox(more))
}

/// One trace for each number.
fn insert(kind: &str, numbers: std::ops::RangeInclusive<u32>) -> String {
    format!(
        "insert into outbox (aggregate_type, aggregate_id, event_type, payload, headers) select \
            '{kind}', 'k', 'T', '{{}}', \
         jsonb_build_object('traceparent', '00-' || lpad(to_hex(i), 32, '0') || '-' || \
         lpad(to_hex(i), 16, 'a') || '-01') \
         from generate_series({}, {}) i",
        numbers.start(),
        numbers.end()
    )
}

#[tokio::test]
async fn a_batch_is_a_span_with_a_link_to_each_events_trace() {
    let collector = Collector::start().await;
    let stage =
        Stage::new(&configured(&collector.endpoint, "batch_rows = 100\nin_flight = 1")).await;
    stage.sql(&insert("order", 1..=100)).await;
    // The second batch goes to two streams; some of its events have no trace, or none that is
    // valid.
    stage.sql(&insert("bill", 101..=120)).await;
    stage
        .sql(
            "insert into outbox (aggregate_type, aggregate_id, event_type, payload, headers) \
                values \
             ('order', 'k', 'T', '{}', '{}'), ('order', 'k', 'T', '{}', \
             '{\"traceparent\": \"nonsense\"}')",
        )
        .await;
    let envs = [("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")];
    // What is left is exported before it ends.
    stage.asked_with(&["run", "--once"], &envs).await.data();
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    let first = attributes(&spans[0].attributes);
    let port = stage.redis.port().to_string();
    let expected = [
        ("messaging.system", "redis"),
        ("messaging.operation.type", "send"),
        ("messaging.operation.name", "send"),
        ("messaging.destination.name", "events.order"),
        ("messaging.destination.template", "events.{aggregate_type}"),
        ("messaging.batch.message_count", "100"),
        ("server.address", "127.0.0.1"),
        ("server.port", port.as_str()),
        ("outflow.outbox", "orders"),
    ];
    let expected: BTreeMap<String, String> =
        expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(first, expected);
    assert_eq!((spans[0].name.as_str(), spans[0].kind), ("send events.order", CLIENT));
    assert!(
        spans[0].parent_span_id.is_empty()
            && spans[0].start_time_unix_nano < spans[0].end_time_unix_nano
    );
    let links: Vec<String> = spans[0].links.iter().map(|link| hex(&link.trace_id)).collect();
    assert_eq!(links, (1..=100).map(|number| format!("{number:032x}")).collect::<Vec<_>>());
    assert_eq!(hex(&spans[0].links[15].span_id), "aaaaaaaaaaaaaa10");

    let second = attributes(&spans[1].attributes);
    assert_eq!(spans[1].name, "send events.{aggregate_type}");
    assert_eq!((second.get("messaging.destination.name"), spans[1].links.len()), (None, 20));
    assert_eq!(second["messaging.batch.message_count"], "22");
    let resource = collector.resource();
    assert_eq!(
        (resource["service.name"].as_str(), resource["deployment.environment.name"].as_str()),
        ("outflow", "test")
    );
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    // The events' own context is passed on as it was.
    let entries = stage.entries("events.order").await;
    assert!(entries[0].field("headers").contains("-aaaaaaaaaaaaaaa1-01"), "{:?}", entries[0]);
}

#[tokio::test]
async fn the_environment_is_enough_and_failures_are_spans_too() {
    let collector = Collector::start().await;
    let stage = Stage::new(&outbox("")).await;
    stage.command("SET", &["events.bad", "no stream"]).await;
    let envs = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=hunter2"),
        ("OTEL_SERVICE_NAME", "orders-relay"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let relay = stage.outflow_with("relay", &["run"], &envs);
    stage.sql(&insert("bad", 1..=1)).await;
    let failed = eventually(LIMIT, "a span of a failure", async || {
        collector
            .spans()
            .into_iter()
            .find(|span| span.status.as_ref().is_some_and(|status| status.code == ERROR))
    })
    .await
    .expect("a span");
    assert_eq!(attributes(&failed.attributes)["error.type"], "refused");
    assert!(failed.status.is_some_and(|status| status.message.contains("events.bad: WRONGTYPE")));
    assert_eq!(
        (collector.resource()["service.name"].as_str(), collector.header("x-key").as_str()),
        ("orders-relay", "hunter2")
    );
    assert!(!relay.log().contains("hunter2"), "{}", relay.log());
}

/// A collector that is away costs its spans and one line; switched off, nobody is asked.
#[tokio::test]
async fn events_do_not_wait_for_a_collector() {
    let collector = Collector::start().await;
    let endpoint = collector.endpoint.clone();
    drop(collector);
    let stage = Stage::new(&configured(&endpoint, "")).await;
    let relay = stage.outflow_with("relay", &["run"], &[("OTEL_BSP_SCHEDULE_DELAY", "20")]);
    stage.sql(&insert("order", 1..=500)).await;
    stage.reaches("events.order", 500).await;
    eventually(LIMIT, "the warning", async || relay.log().contains("cannot export spans"))
        .await
        .expect("a line");
    for number in 1..=5 {
        stage.sql(&insert("order", number..=number)).await;
        stage.reaches("events.order", 500 + i64::from(number)).await;
    }
    assert_eq!(relay.log().matches("cannot export spans").count(), 1, "{}", relay.log());
    let collector = Collector::start().await;
    let off = [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()),
    ];
    drop(relay);
    stage.configure(&outbox(""));
    stage.sql(&insert("order", 1..=3)).await;
    stage.asked_with(&["run", "--once"], &off).await.data();
    stage.sql(&insert("order", 1..=3)).await;
    stage.asked(&["run", "--once"]).await.data();
    assert!(collector.spans().is_empty());
    let wrong = [("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:4318")];
    let refused = stage.asked_with(&["run", "--once"], &wrong).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{refused:?}");
}
