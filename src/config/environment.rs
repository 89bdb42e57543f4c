//! Environment variables: which of them are keys of ours.

use figment::providers::Env;

use super::Notice;

/// What the names of our variables start with.
pub(super) const PREFIX: &str = "OUTFLOW_";
/// Ours, and no keys: `OUTFLOW_CONFIG` names the file, and the others the servers of our tests.
const NO_KEYS: [&str; 3] = ["config", "test_postgres_bin", "test_redis_bin"];
/// What a protocol of a service is called in the variables of Kubernetes.
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];

/// Our variables as a layer. Empty ones count as unset, and so do the links to a service whose name
/// starts with "outflow".
pub(super) fn layer() -> Env {
    let unset: Vec<String> = ours()
        .filter(|(name, value)| value.is_empty() || is_service_link(name, value))
        .map(|(name, _)| name)
        .collect();
    let counts =
        move |key: &str| !unset.iter().any(|name| name[PREFIX.len()..].eq_ignore_ascii_case(key));
    Env::prefixed(PREFIX).filter(move |key| counts(key.as_str())).ignore(&NO_KEYS).split("__")
}

/// Says which variables are left out, if there are any that might surprise.
pub(super) fn service_links() -> Option<Notice> {
    let mut links: Vec<String> =
        ours().filter(|(name, value)| is_service_link(name, value)).map(|(name, _)| name).collect();
    links.sort();
    (!links.is_empty()).then(|| Notice {
        what: format!("{}: ignored, these are Kubernetes's links to a service", links.join(", ")),
        remedy: "enableServiceLinks: false in the pod's spec keeps them out".to_owned(),
    })
}

fn ours() -> impl Iterator<Item = (String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    };
    let is_ours = |(name, _): &(String, String)| {
        name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    };
    std::env::vars_os().filter_map(text).filter(is_ours)
}

/// Whether Kubernetes makes such a variable: for a service `outflow`, or `outflow-metrics`,
/// `OUTFLOW_SERVICE_HOST`, `OUTFLOW_SERVICE_PORT`, `OUTFLOW_SERVICE_PORT_HTTP`, `OUTFLOW_PORT` (an
/// address), `OUTFLOW_PORT_9464_TCP` and the parts of that.
fn is_service_link(name: &str, value: &str) -> bool {
    let words: Vec<&str> = name.split('_').skip(1).collect();
    let is_number =
        |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let ends_in = |ending: &[&str]| words.ends_with(ending);
    let service_port = words.windows(2).any(|pair| pair == ["SERVICE", "PORT"]);
    // A person who means to set a port gives a number.
    let is_address = PROTOCOLS
        .iter()
        .any(|protocol| value.starts_with(&format!("{}://", protocol.to_lowercase())));
    let port = words
        .windows(3)
        .position(|part| part[0] == "PORT" && is_number(&part[1]) && PROTOCOLS.contains(&part[2]));
    let part_of_port =
        port.is_some_and(|at| matches!(words[at + 3..], [] | ["ADDR" | "PORT" | "PROTO"]));
    ends_in(&["SERVICE", "HOST"])
        || service_port
        || (ends_in(&["PORT"]) && is_address)
        || part_of_port
}

#[cfg(test)]
mod tests {
    use super::is_service_link;

    #[test]
    fn links_to_a_service_are_told_from_typos() {
        let table = [
            ("OUTFLOW_SERVICE_HOST", "10.0.0.1", true),
            ("OUTFLOW_SERVICE_PORT", "9464", true),
            ("OUTFLOW_SERVICE_PORT_HTTP_METRICS", "9464", true),
            ("OUTFLOW_PORT", "tcp://10.0.0.1:9464", true),
            ("OUTFLOW_PORT", "udp://10.0.0.1:9464", true),
            ("OUTFLOW_PORT_9464_TCP", "tcp://10.0.0.1:9464", true),
            ("OUTFLOW_PORT_9464_TCP_ADDR", "10.0.0.1", true),
            ("OUTFLOW_PORT_9464_TCP_PORT", "9464", true),
            ("OUTFLOW_PORT_9464_TCP_PROTO", "tcp", true),
            ("OUTFLOW_PORT_53_UDP_PROTO", "udp", true),
            ("OUTFLOW_PORT_53_SCTP", "sctp://10.0.0.1:53", true),
            ("OUTFLOW_METRICS_SERVICE_HOST", "10.0.0.1", true),
            ("OUTFLOW_METRICS_PORT_9464_TCP", "tcp://10.0.0.1:9464", true),
            ("OUTFLOW_PORT", "9464", false),
            ("OUTFLOW_HOST", "10.0.0.1", false),
            ("OUTFLOW_SERVICE", "x", false),
            ("OUTFLOW_PORT_9464", "x", false),
            ("OUTFLOW_REDIS__UR", "x", false),
            ("OUTFLOW_POSTGRES_URL", "tcp://x", false),
        ];
        for (name, value, is_link) in table {
            assert_eq!(is_service_link(name, value), is_link, "{name}={value}");
        }
    }
}
