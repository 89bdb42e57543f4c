//! `outflow healthcheck`: asks the relay next door how it is, for images that have no curl.

use std::time::Duration;

use clap::Args;

use super::output;
use crate::config::Config;
use outflow_core::fault::Fault;

const LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct HealthcheckArgs {
    /// Check that the relay can deliver (`/readyz`), not only that it is alive (`/livez`)
    #[arg(long)]
    ready: bool,
}

/// Exits 1 unless the answer is 200.
pub(super) async fn run(args: HealthcheckArgs, config: Config) -> Result<(), Fault> {
    let path = if args.ready { "/readyz" } else { "/livez" };
    let url = format!("http://{}{path}", crate::daemon::admin::reachable(config.admin_listen));
    let failed = |error: reqwest::Error| Fault::failed(format!("{url}: {}", causes(&error)));
    // A proxy of the environment has no business here.
    let client = reqwest::Client::builder().timeout(LIMIT).no_proxy().build().map_err(failed)?;
    let answer = client.get(&url).send().await.map_err(failed)?;
    let status = answer.status();
    let text = answer.text().await.map_err(failed)?;
    if status.is_success() {
        output::line(text.trim_end())
    } else {
        Err(Fault::failed(format!("{path}: {status}: {}", text.trim_end())))
    }
}

/// reqwest says "error sending request"; what happened is in the cause of the cause.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
