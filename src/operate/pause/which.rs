//! Which outboxes are meant, and what is known where somebody names another one. Pure.

use crate::relay::options::OutboxOptions;
use outflow_core::fault::Fault;

/// The outboxes of this name, or all of them.
///
/// # Errors
/// The configuration has no such outbox; the known ones are named.
pub fn chosen<'a>(
    outboxes: &'a [OutboxOptions],
    name: Option<&str>,
) -> Result<Vec<&'a OutboxOptions>, Fault> {
    let is_meant = |outbox: &&OutboxOptions| name.is_none_or(|name| outbox.name == name);
    let chosen: Vec<_> = outboxes.iter().filter(is_meant).collect();
    match name {
        Some(name) if chosen.is_empty() => {
            let known: Vec<&str> = outboxes.iter().map(|outbox| outbox.name.as_str()).collect();
            let known = known.join(", ");
            Err(Fault::configuration(format!(
                "outbox {name:?} is not in this configuration, which has {known}"
            ))
            .remedy("name one of these, or give the configuration that has it with --config"))
        }
        _ => Ok(chosen),
    }
}

/// Those whose rows can have this stream.
pub fn writers<'a>(outboxes: &[&'a OutboxOptions], stream: &str) -> Vec<&'a OutboxOptions> {
    outboxes.iter().filter(|outbox| outbox.stream.fits(stream)).copied().collect()
}

/// No row of these outboxes can have this stream. `known`: streams that there are.
pub fn unknown_stream(outboxes: &[&OutboxOptions], stream: &str, known: &[String]) -> Fault {
    let of = |outbox: &&OutboxOptions| format!("outbox {:?} writes {}", outbox.name, outbox.stream);
    let writes: Vec<String> = outboxes.iter().map(of).collect();
    let there = if known.is_empty() {
        String::new()
    } else {
        format!("; the streams in Redis are {}", known.join(", "))
    };
    Fault::configuration(format!(
        "stream {stream:?} is not one that this configuration writes: {}{there}",
        writes.join(", ")
    ))
    .remedy("give the whole name of a stream, as Redis has it")
}
