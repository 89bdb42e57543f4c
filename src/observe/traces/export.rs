//! Spans as OpenTelemetry's SDK makes and exports them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, Tracer as _, TracerProvider as _,
};
use opentelemetry::{KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tokio::runtime::Handle;

use super::from_environment;
use super::link::link;
use crate::config::Config;
use crate::config::check_endpoint;
use crate::relay::encode::Entries;
use crate::relay::event::Batch;

const SERVICE: &str = "outflow";
const TRACES_PATH: &str = "v1/traces";
/// A span has at most this many links; a batch may have more events.
const LINKS_MAX: u32 = 1_000;
const EXPORT_LIMIT: Duration = Duration::from_secs(10);
/// What is not exported by then is lost: a stop does not wait for a collector.
const FINISH_LIMIT: Duration = Duration::from_secs(3);

/// Exports spans in the background. Clones share it.
#[derive(Clone)]
pub struct Exporter {
    provider: SdkTracerProvider,
    tracer: Tracer,
    /// The server's address, as attributes.
    server: Arc<[KeyValue]>,
}

/// Makes the spans of one outbox.
#[derive(Clone)]
pub struct Spans {
    tracer: Tracer,
    /// The template of the streams' names.
    template: Arc<str>,
    attributes: Arc<[KeyValue]>,
}

impl Exporter {
    /// Starts to export to `tracing.endpoint`, or to the collector that
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` names; `None` when there is none, or with
    /// `OTEL_SDK_DISABLED=true`. The SDK also takes `OTEL_SERVICE_NAME`,
    /// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER` and
    /// `OTEL_BSP_*` from the environment.
    ///
    /// # Errors
    /// The address cannot be used. That nobody answers there is no error: spans are lost then,
    /// events are not.
    pub fn start(config: &Config) -> Result<Option<Self>, String> {
        if std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"))
        {
            return Ok(None);
        }
        let endpoint = match (&config.tracing_endpoint, from_environment()) {
            (None, None) => return Ok(None),
            (Some(endpoint), _) => {
                Some(format!("{}/{TRACES_PATH}", endpoint.trim_end_matches('/')))
            }
            // The exporter reads it itself, and knows what to append to which.
            (None, Some((name, endpoint))) => {
                check_endpoint(&endpoint).map_err(|message| format!("{name}: {message}"))?;
                None
            }
        };
        let builder = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new()?)
            .with_timeout(EXPORT_LIMIT);
        let builder = match endpoint {
            Some(endpoint) => builder.with_endpoint(endpoint),
            None => builder,
        };
        let exporter = builder.build().map_err(|error| format!("tracing.endpoint: {error}"))?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name(SERVICE);
        }
        let resource = resource
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_max_links_per_span(LINKS_MAX)
            .with_resource(resource)
            .build();
        let (host, port) = config.redis.host();
        let server = vec![
            KeyValue::new("server.address", host.to_owned()),
            KeyValue::new("server.port", i64::from(port)),
        ];
        let tracer = provider.tracer(SERVICE);
        Ok(Some(Self { provider, tracer, server: server.into() }))
    }

    pub(crate) fn outbox(&self, name: &str, template: &str) -> Spans {
        let mut attributes = self.server.to_vec();
        attributes.extend([
            // No value is registered for Redis; this is what its database conventions call it.
            KeyValue::new("messaging.system", "redis"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("outflow.outbox", name.to_owned()),
        ]);
        Spans {
            tracer: self.tracer.clone(),
            template: template.into(),
            attributes: attributes.into(),
        }
    }

    /// Exports what is left.
    pub(crate) async fn finish(self) {
        // It blocks until the exporter's thread has ended.
        let finishing =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FINISH_LIMIT));
        if let Ok(Err(error)) = finishing.await {
            tracing::warn!(%error, "could not export the last spans before the exit");
        }
    }
}

impl Spans {
    /// A batch was appended.
    pub(crate) fn sent(&self, batch: &Batch, entries: &Entries, took: Duration) {
        let links =
            entries.entries.iter().filter_map(|entry| batch.events[entry.event].headers.as_deref());
        let links = links.filter_map(link).take(LINKS_MAX as usize).collect();
        let used = entries.streams.iter().enumerate();
        let mut used =
            used.filter(|(index, _)| entries.entries.iter().any(|entry| entry.stream == *index));
        let destination = match (used.next(), used.next()) {
            (Some((_, only)), None) => Some(only.clone()),
            _ => None,
        };
        let events = i64::try_from(entries.entries.len()).unwrap_or(i64::MAX);
        let mut builder = self.builder(destination, took).with_links(links);
        builder
            .attributes
            .get_or_insert_default()
            .push(KeyValue::new("messaging.batch.message_count", events));
        self.tracer.build(builder).end();
    }

    /// A batch was not appended, or not for certain.
    pub(crate) fn failed(&self, reason: &'static str, detail: &str) {
        let mut builder = self.builder(None, Duration::ZERO);
        builder.attributes.get_or_insert_default().push(KeyValue::new("error.type", reason));
        let mut span = self.tracer.build(builder);
        span.set_status(Status::error(detail.to_owned()));
        span.end();
    }

    /// A span that ends now. Of several streams only what their names have in common is told.
    fn builder(&self, destination: Option<String>, took: Duration) -> SpanBuilder {
        let mut attributes = self.attributes.to_vec();
        attributes.push(KeyValue::new(
            "messaging.destination.template",
            Value::from(self.template.to_string()),
        ));
        let name = format!("send {}", destination.as_deref().unwrap_or(&self.template));
        attributes
            .extend(destination.map(|stream| KeyValue::new("messaging.destination.name", stream)));
        let started = SystemTime::now().checked_sub(took).unwrap_or_else(SystemTime::now);
        // Not a producer: the events were created, with contexts of their own, when they were
        // written.
        self.tracer
            .span_builder(name)
            .with_kind(SpanKind::Client)
            .with_start_time(started)
            .with_attributes(attributes)
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("template", &self.template).finish_non_exhaustive()
    }
}

/// Sends with the client and in the runtime that the program has anyway. The SDK's exporter has a
/// thread without one.
#[derive(Debug)]
struct Client {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last export failed: said once, not each time.
    is_failing: Arc<AtomicBool>,
}

impl Client {
    fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder().timeout(EXPORT_LIMIT).build();
        let client = client.map_err(|error| format!("tracing.endpoint: {error}"))?;
        Ok(Self { http: client, runtime: Handle::current(), is_failing: Arc::default() })
    }

    fn note(&self, problem: Option<&str>) {
        let was_failing = self.is_failing.swap(problem.is_some(), Ordering::Relaxed);
        match problem {
            Some(reason) if !was_failing => {
                tracing::warn!(
                    reason,
                    "cannot export spans: dropping them until the collector accepts them; events \
                        are still delivered"
                );
            }
            None if was_failing => tracing::info!("exporting spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            Ok::<_, reqwest::Error>((status, headers, answer.bytes().await?))
        });
        let (status, headers, body) = match sent.await? {
            Ok(answer) => answer,
            Err(error) => {
                // The address may hold a key.
                let error = error.without_url();
                self.note(Some(&error.to_string()));
                return Err(error.into());
            }
        };
        self.note((!status.is_success()).then(|| status.to_string()).as_deref());
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
