//! What people have paused, which keeps events waiting on purpose.

use tokio_postgres::{Client, Error};

use super::finding::{Findings, advice};
use super::session::looking;
use crate::relay::options::OutboxOptions;
use crate::relay::outbox::pauses;

pub(super) async fn check(
    client: &Client,
    oid: u32,
    outbox: &OutboxOptions,
    findings: &mut Findings,
) -> Result<(), Error> {
    let name = &outbox.name;
    for pause in looking(client, pauses::of(client, oid)).await?.all() {
        let (what, resume) = match &pause.stream {
            Some(stream) => (format!("stream {stream} is paused {pause}"), " --stream STREAM"),
            None => (format!("paused {pause}"), ""),
        };
        let advice = advice(format!("`outflow resume --outbox {name}{resume}` ends the pause"));
        findings.warning(name, what, advice);
    }
    Ok(())
}
