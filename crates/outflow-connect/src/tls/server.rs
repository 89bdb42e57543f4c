//! TLS of a listener of ours: the certificate that it shows.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;

use super::{Files, Names, identity};
use outflow_core::fault::Fault;

/// Reads a certificate, with those between it and its authority, and its key.
///
/// # Errors
/// Which file cannot be used, why, and what to do.
pub fn server(certificate: &Path, key: &Path, names: &Names) -> Result<ServerConfig, Fault> {
    let files = Files {
        authorities: None,
        certificate: Some(certificate.to_owned()),
        key: Some(key.to_owned()),
    };
    let failed = |error: rustls::Error| Fault::configuration(error.to_string()).because(error);
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth();
    let Some((chain, key)) = identity(&files, names)? else {
        return Err(Fault::configuration("no certificate"));
    };
    builder.with_single_cert(chain, key).map_err(|error| {
        let (certificate, key) = (names.certificate, names.key);
        let what = format!("{certificate} and {key} do not fit together: {error}");
        Fault::configuration(what).because(error)
    })
}
