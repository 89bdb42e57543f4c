//! Where spans may be sent.

/// Whether an address of a collector can be used.
///
/// # Errors
/// What is expected.
pub(crate) fn check_endpoint(endpoint: &str) -> Result<(), String> {
    if !cfg!(feature = "otlp") {
        return Err("this build exports no traces (the cargo feature otlp is off); leave it empty"
            .to_owned());
    }
    match url::Url::parse(endpoint) {
        Ok(url) if url.scheme() == "http" && url.has_host() => Ok(()),
        // The collector's own job: it knows certificates, retries and buffers, and stands next
        // door.
        _ => Err(
            "expected an OTLP/HTTP collector such as http://127.0.0.1:4318 (not https, not gRPC)"
                .to_owned(),
        ),
    }
}
