//! The order API's metrics: each series declared once, with its help text and unit.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

/// Seconds; from a local transaction to the request timeout.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The counters of one API.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    pub(super) created: IntCounter,
    pub(super) cancelled: IntCounter,
}

impl Metrics {
    /// Registers every series.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests =
            Opts::new("order_api_requests_total", "HTTP requests, by method, route and status");
        let seconds = HistogramOpts::new(
            "order_api_request_seconds",
            "Seconds from the head of a request to its response, by route",
        );
        let metrics = Self {
            requests: IntCounterVec::new(requests, &["method", "route", "status"])?,
            seconds: HistogramVec::new(seconds.buckets(BUCKETS.to_vec()), &["route"])?,
            created: IntCounter::new(
                "order_api_orders_created_total",
                "Orders created, each with its event",
            )?,
            cancelled: IntCounter::new(
                "order_api_orders_cancelled_total",
                "Orders cancelled, each with its event",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.created.clone()))?;
        registry.register(Box::new(metrics.cancelled.clone()))?;
        Ok(metrics)
    }

    /// Records one response. `route` is the pattern, not the path: there are few of them.
    pub(super) fn answered(
        &self,
        method: &Method,
        route: &str,
        status: StatusCode,
        took: Duration,
    ) {
        // Callers can make up methods; labels must stay few.
        let method = match *method {
            Method::GET => "GET",
            Method::POST => "POST",
            _ => "other",
        };
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}
