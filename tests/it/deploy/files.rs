//! The files agree with the program and with one another.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use clap::ValueEnum as _;
use outflow_orders::saga::Step;

use super::install::{path, read};
use crate::support::program;

/// The value of `key` on its first line in a text; quotes and comments are dropped.
fn value<'a>(text: &'a str, key: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
    line.unwrap_or_else(|| panic!("no line {key}"))
        .split('#')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches('"')
}

/// Whoever stops the relay waits longer than it may drain: killed in the middle, it has to recover
/// at its next start.
#[test]
fn every_stop_is_longer_than_the_drain() {
    let drain = humantime::parse_duration(value(outflow::config::EXAMPLE, "shutdown_grace ="))
        .expect("a duration");
    let seconds = |text: &str| Duration::from_secs(text.parse().expect("seconds"));
    let stops = [
        seconds(value(&read("systemd/outflow.service"), "TimeoutStopSec=")),
        seconds(value(&read("kubernetes/base/deployment.yaml"), "terminationGracePeriodSeconds:")),
        humantime::parse_duration(value(&read("compose.yaml"), "stop_grace_period:"))
            .expect("a duration"),
    ];
    assert!(
        stops.iter().all(|stop| *stop >= drain + Duration::from_secs(5)),
        "{stops:?}, and {drain:?} to drain"
    );
}

/// As the unit sets them, the two addresses come from files; the file must not name any.
#[test]
fn the_configuration_files_are_valid() {
    let dir = tempfile::tempdir().expect("a directory");
    let secret = |name: &str, url: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, url).expect("a file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o440))
            .expect("a mode");
        file.display().to_string()
    };
    let (postgres, redis) =
        (secret("postgres-url", "postgres://u@h/d"), secret("redis-url", "redis://h"));
    let kubernetes = read("kubernetes/base/config.toml")
        .replace("/run/secrets/outflow/postgres/url", &postgres)
        .replace("/run/secrets/outflow/redis/url", &redis);
    let debian = read("debian/config.toml");
    let debian = format!(
        "{debian}\n[postgres]\nurl_file = \"{postgres}\"\n[redis]\nurl_file = \"{redis}\"\n"
    );
    for (name, text) in [("kubernetes", kubernetes), ("debian", debian)] {
        let file = dir.path().join(name);
        std::fs::write(&file, text).expect("a file");
        let config = outflow::config::load(&outflow::config::Source { file: Some(file) });
        let config = config.unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(config.admin_listen.port(), 9464, "{name}");
        assert_eq!(config.outboxes.len(), 1, "{name}");
    }
    let unit = read("systemd/outflow.service");
    for name in ["postgres", "redis"] {
        let wanted = format!("OUTFLOW_{}__URL_FILE=%d/{name}-url", name.to_uppercase());
        assert!(unit.contains(&wanted), "the unit does not set {wanted}");
        assert!(
            unit.contains(&format!("LoadCredential={name}-url:/etc/outflow/{name}-url")),
            "{name}"
        );
    }
}

/// As many consumers as are deployed find a connection to Postgres each for all of their workers.
#[test]
fn the_consumers_fit_the_limit_of_their_role() {
    let number =
        |text: &str| text.trim().parse::<usize>().unwrap_or_else(|error| panic!("{text}: {error}"));
    let roles = read("sql/roles.sql");
    let limit = roles.split_once("('order_consumer', ").and_then(|(_, rest)| rest.split_once(')'));
    let limit = number(limit.expect("a limit of order_consumer").0);
    let compose = read("compose.yaml");
    let in_compose = compose.lines().filter(|line| line.starts_with("  order-consumer")).count();
    assert!(!compose.contains("ORDER_CONSUMER_WORKERS"), "count with those");
    let settings = outflow_consumer::Settings::builder("events.order", "inventory", "one");
    let workers = settings.build().expect("settings").workers();
    let statefulset = read("kubernetes/components/order-consumer/step/order-consumer.yaml");
    let in_kubernetes =
        statefulset.split_once("{name: ORDER_CONSUMER_WORKERS, value: \"").expect("it").1;
    let in_kubernetes = number(in_kubernetes.split('"').next().unwrap_or_default());
    let pods = number(value(
        &read("kubernetes/components/keda/scaler/scaledobject.yaml"),
        "maxReplicaCount:",
    ));
    let steps = Step::value_variants().len();
    assert_eq!(in_compose, steps);
    for needed in [in_compose * (workers + 1), steps * pods * (in_kubernetes + 1)] {
        assert!(needed <= limit, "{needed} connections, and roles.sql allows {limit}");
        assert!(
            roles.contains(&format!("= {needed} as")),
            "roles.sql has another arithmetic than {needed}"
        );
    }
}

/// Every variable of the companions that a file here names is one that they read.
#[test]
fn the_companions_variables_exist() {
    let mut known = BTreeSet::new();
    for program in [program("order-api"), program("order-consumer")] {
        let help = Command::new(program).arg("--help").output().expect("a program").stdout;
        let help = String::from_utf8(help).expect("text");
        let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
        known.extend(names.map(str::to_owned));
    }
    assert!(!known.is_empty());
    let statefulset = "kubernetes/components/order-consumer/step/order-consumer.yaml";
    for (file, least) in [("compose.yaml", 6), (statefulset, 5), ("../docs/example-services.md", 3)]
    {
        let text = read(file);
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: BTreeSet<_> = words
            .filter(|word| word.starts_with("ORDER_API_") || word.starts_with("ORDER_CONSUMER_"))
            .collect();
        assert!(named.len() >= least, "{file} names only {named:?}");
        for name in named {
            assert!(known.contains(name), "deploy/{file} names {name}, which no program reads");
        }
    }
}

/// What compose and the package take from the work tree is there.
#[test]
fn files_that_others_take_are_there() {
    let compose = read("compose.yaml");
    let mounts =
        compose.lines().filter_map(|line| line.trim().strip_prefix("- ./")?.split(':').next());
    let mounts: Vec<_> = mounts.map(path).collect();
    assert_eq!(mounts.len(), 7);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("Cargo.toml");
    let assets = manifest.lines().skip_while(|line| *line != "[package.metadata.deb]");
    let assets = assets.filter_map(|line| line.trim().strip_prefix("[\"")?.split('"').next());
    // What cargo builds is not there yet.
    let assets = assets.filter(|name| !name.starts_with("target/"));
    let assets: Vec<_> = assets.map(|name| root.join(name)).collect();
    assert!(assets.len() > 8, "{assets:?}");
    for file in mounts.iter().chain(&assets) {
        assert!(file.exists(), "{} is missing", file.display());
    }
}
