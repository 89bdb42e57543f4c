//! The address of the admin endpoint: free, or the relay's own.

use std::time::Duration;

use super::finding::Findings;
use crate::config::Config;
use crate::daemon::admin;

const ABOUT: &str = "admin";
const LIMIT: Duration = Duration::from_secs(2);
/// A series that every relay shows.
const OURS: &str = "outflow_";

pub(super) async fn check(config: &Config, findings: &mut Findings) {
    let address = config.admin_listen;
    let fault = match admin::bind(address).await {
        Ok(_listener) => return findings.ok(ABOUT, format!("admin.listen: {address} is free")),
        Err(fault) => fault,
    };
    if is_a_relay(config).await {
        return findings.ok(ABOUT, format!("admin.listen: a relay listens on {address}"));
    }
    let remedy = "stop the program that listens there, or set admin.listen to a free \
        address of this machine";
    findings.fault(ABOUT, &fault, remedy);
}

async fn is_a_relay(config: &Config) -> bool {
    let url = format!("http://{}/metrics", admin::reachable(config.admin_listen));
    let Ok(client) = reqwest::Client::builder().timeout(LIMIT).no_proxy().build() else {
        return false;
    };
    let Ok(answer) = client.get(url).send().await else { return false };
    answer.text().await.is_ok_and(|text| text.contains(OURS))
}
