//! The console: files that it reads, and how it can be reached.

use super::finding::{Findings, advice};
use crate::config::Config;
use outflow_connect::secret_file;
use outflow_core::fault::Fault;

const ABOUT: &str = "console";

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let console = &config.console;
    let tokens = console.tokens.iter().enumerate();
    let tokens = tokens.map(|(number, one)| (format!("tokens.{number}.file"), &one.file));
    let others = [
        ("sslkey", console.certificate.as_ref().map(|files| &files.key)),
        ("postgres_url_file", console.postgres_url_file.as_ref()),
        ("redis_url_file", console.redis_url_file.as_ref()),
    ];
    let others = others.into_iter().filter_map(|(key, file)| Some((key.to_owned(), file?)));
    for (key, file) in tokens.chain(others) {
        let file = secret_file::resolve(file);
        match secret_file::check(&file) {
            Ok(()) => {
                findings
                    .ok(ABOUT, format!("console.{key}: {} is closed to others", file.display()));
            }
            Err(fault) => {
                let fault = fault.at(format!("console.{key}"));
                unusable(&fault, console.listen.is_some(), findings);
            }
        }
    }
    let Some(listen) = console.listen else { return };
    if console.certificate.is_none() && !listen.ip().to_canonical().is_loopback() {
        let what =
            format!("console.listen: {listen} has no TLS: tokens cross the network in plain text");
        let remedy = "set console.sslcert and console.sslkey, or listen on 127.0.0.1 behind a \
            proxy with TLS";
        findings.warning(ABOUT, what, advice(remedy));
    }
}

/// A relay that serves the console does not start without; otherwise whoever checks may be somebody
/// else than whoever runs the console.
fn unusable(fault: &Fault, is_served: bool, findings: &mut Findings) {
    let otherwise = "write the secret to this file, readable by the user that runs the console";
    if is_served {
        findings.fault(ABOUT, fault, otherwise);
    } else {
        findings.warning(ABOUT, fault.what(), advice(fault.to_do().unwrap_or(otherwise)));
    }
}
