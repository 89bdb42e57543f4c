//! Declaring series of an outbox.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

/// Declares series of an outbox: prefix and first label are always the same.
pub(super) struct Declare<'a> {
    pub(super) registry: &'a Registry,
}

impl Declare<'_> {
    pub(super) fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        let series =
            IntCounterVec::new(Opts::new(format!("outflow_{name}"), help), &with_outbox(labels))?;
        self.registry.register(Box::new(series.clone()))?;
        Ok(series)
    }

    pub(super) fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntGaugeVec> {
        let series =
            IntGaugeVec::new(Opts::new(format!("outflow_{name}"), help), &with_outbox(labels))?;
        self.registry.register(Box::new(series.clone()))?;
        Ok(series)
    }

    pub(super) fn real(&self, name: &str, help: &str) -> prometheus::Result<GaugeVec> {
        self.real_of(name, help, &[])
    }

    pub(super) fn real_of(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<GaugeVec> {
        let series =
            GaugeVec::new(Opts::new(format!("outflow_{name}"), help), &with_outbox(labels))?;
        self.registry.register(Box::new(series.clone()))?;
        Ok(series)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(format!("outflow_{name}"), help).buckets(buckets.to_vec());
        let series = HistogramVec::new(options, &["outbox"])?;
        self.registry.register(Box::new(series.clone()))?;
        Ok(series)
    }
}

/// Of no outbox: all of them use the same servers. Not known before the first look, and without
/// TLS.
pub(super) fn certificate_expiry(registry: &Registry) -> prometheus::Result<GaugeVec> {
    let name = "outflow_certificate_expiry_timestamp_seconds";
    let options = Opts::new(
        name,
        "Unix time in seconds at which a certificate expires; NaN without TLS or \
            without a certificate",
    );
    let series = GaugeVec::new(options, &["server", "certificate"])?;
    for server in ["postgres", "redis"] {
        for certificate in ["server", "client"] {
            series.with_label_values(&[server, certificate]).set(f64::NAN);
        }
    }
    registry.register(Box::new(series.clone()))?;
    Ok(series)
}

fn with_outbox<'a>(labels: &[&'a str]) -> Vec<&'a str> {
    std::iter::once("outbox").chain(labels.iter().copied()).collect()
}
