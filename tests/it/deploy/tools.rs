//! The tools that will read these files one day read them now: each test fails where its tool is
//! missing.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum as _;
use outflow_local::{Program, eventually, free_port};
use outflow_orders::saga::Step;
use serde_json::Value;

use super::install::{path, read};
use super::series::PLANNED;
use crate::support::{LIMIT, Numbered, Stage, kubectl, outbox, python, tool};

/// Runs a tool to its end, which must be good; returns what it printed.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.output().expect("a program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}\n{text}", output.status);
    text
}

#[test]
fn systemd_finds_the_unit_sound_and_safe() {
    let analyze = tool("systemd-analyze");
    let dir = tempfile::tempdir().expect("a directory");
    let unit = dir.path().join("outflow.service");
    // `verify` wants the program to be there.
    let text = read("systemd/outflow.service").replace(
        "ExecStart=/usr/bin/outflow",
        concat!("ExecStart=", env!("CARGO_BIN_EXE_outflow")),
    );
    std::fs::write(&unit, text).expect("a file");
    let said = run(Command::new(&analyze).arg("verify").arg(&unit));
    assert!(!said.contains("outflow.service"), "{said}");
    // 1.5 in the scale of 0 to 10 that it prints.
    run(Command::new(&analyze)
        .args(["security", "--offline=true", "--threshold=15", "--no-pager"])
        .arg(&unit));
}

#[test]
fn promtool_finds_the_rules_right() {
    let promtool = tool("promtool");
    let directory = path("prometheus");
    let here = |args: &[&str]| run(Command::new(&promtool).args(args).current_dir(&directory));
    here(&["check", "rules", "rules.yml"]);
    here(&["test", "rules", "rules_test.yml"]);
    here(&["check", "config", "prometheus.yml"]);
}

#[tokio::test]
async fn promtool_finds_the_series_well_named() {
    let promtool = tool("promtool");
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    stage.ready(200).await;
    let file = stage.path().join("metrics");
    std::fs::write(&file, stage.metrics().await).expect("a file");
    let input = std::fs::File::open(&file).expect("a file");
    run(Command::new(promtool).args(["check", "metrics"]).stdin(input));
}

#[test]
fn kustomize_renders_what_the_cluster_accepts() {
    let kubectl = kubectl();
    let render = |name: &str| {
        run(Command::new(&kubectl).arg("kustomize").arg(path("kubernetes").join(name)))
    };
    let (base, plain, example) = (render("base"), render("example"), render("example-operators"));
    let kinds = |text: &str| text.lines().filter(|line| line.starts_with("kind: ")).count();
    assert_eq!((kinds(&base), kinds(&plain), kinds(&example)), (6, 17, 22));
    let operators = ["keda.sh", "coreos.com"];
    assert!(
        operators.iter().all(|group| !plain.contains(group)),
        "the example runs on any cluster"
    );
    // Every pod is as confined as the namespace's "restricted" asks, and says what it runs.
    let pods = ["\nkind: Deployment\n", "\nkind: Job\n", "\nkind: StatefulSet\n"];
    let pods: Vec<&str> = example
        .split("\n---\n")
        .filter(|text| pods.iter().any(|kind| text.contains(kind)))
        .collect();
    let wanted = [
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "automountServiceAccountToken: false",
        "type: RuntimeDefault",
        "image: outflow:0.1.0",
        "memory:",
    ];
    assert_eq!(pods.len(), 6);
    for pod in &pods {
        for line in wanted {
            assert!(pod.contains(line), "no {line} in\n{pod}");
        }
    }
    for step in Step::value_variants() {
        is_deployed(*step, &example);
    }

    let validate = python("kubernetes-validate", &["kubernetes-validate==1.37.0"])
        .join("bin/kubernetes-validate");
    let dir = tempfile::tempdir().expect("a directory");
    // The custom resources of other operators have no schema there.
    let core =
        example.split("\n---\n").filter(|text| !operators.iter().any(|group| text.contains(group)));
    let core: Vec<&str> = core.collect();
    assert_eq!(core.len(), 17);
    let file = dir.path().join("example.yaml");
    std::fs::write(&file, core.join("\n---\n")).expect("a file");
    run(Command::new(validate).arg("--strict").arg(&file));
}

/// A step's pods are named by its label, which is where the program reads it, and scaled by its own
/// streams and group.
fn is_deployed(step: Step, example: &str) {
    let name = format!("order-consumer-{}", step.name());
    let object = |kind: &str| {
        let (kind, name) = (format!("\nkind: {kind}\n"), format!("\n  name: {name}\n"));
        let found =
            example.split("\n---\n").find(|text| text.contains(&kind) && text.contains(&name));
        found.unwrap_or_else(|| panic!("no {kind} of {name}"))
    };
    let label = format!("app.kubernetes.io/component: {}\n", step.name());
    for (kind, times) in [("StatefulSet", 3), ("Service", 2), ("PodDisruptionBudget", 2)] {
        assert_eq!(object(kind).matches(&label).count(), times, "{kind} of {name}");
    }
    let pods = object("StatefulSet");
    assert!(pods.contains(&format!("\n  serviceName: {name}\n")), "{pods}");
    assert!(pods.contains("fieldPath: metadata.labels['app.kubernetes.io/component']"), "{pods}");
    let scaled = object("ScaledObject");
    assert!(scaled.contains(&format!("\n    name: {name}\n")), "{scaled}");
    let values = |key: &str| {
        scaled.lines().filter_map(|line| line.trim().strip_prefix(key)).collect::<Vec<_>>()
    };
    assert_eq!(values("stream: "), step.streams());
    assert_eq!(values("consumerGroup: "), [step.name(); 2]);
}

/// The file follows the Compose Specification, by the schema that `check-jsonschema` has of it.
/// Debian 12 and the package registries have no `docker compose` that is new enough; where it is
/// installed, it reads the file, too.
#[test]
fn compose_understands_its_file() {
    let file = path("compose.yaml");
    let check =
        python("check-jsonschema", &["check-jsonschema==0.39.0"]).join("bin/check-jsonschema");
    run(Command::new(check).args(["--builtin-schema", "vendor.compose-spec"]).arg(&file));
    let compose = || {
        let mut docker = Command::new("docker");
        docker.arg("compose");
        docker
    };
    if compose().arg("version").output().is_ok_and(|output| output.status.success()) {
        run(compose().arg("-f").arg(&file).args(["config", "--quiet"]));
    }
}

/// A real Prometheus scrapes a working relay, and no panel of the dashboard is empty.
#[tokio::test]
async fn every_panel_shows_something() {
    let prometheus = tool("prometheus");
    let queries = panel_queries();
    assert_eq!(queries.len(), 41);
    let stage = Stage::new(&outbox("")).await;
    let _relay = stage.relay();
    let (_server, api) = scrape(&prometheus, &stage).await;
    Numbered { rows: 100, keys: 3 }.insert(&stage).await;
    stage.drained().await;
    stage.command("XGROUP", &["CREATE", "events.order", "billing", "0"]).await;
    for query in queries.iter().filter(|query| {
        !PLANNED.iter().chain(&["outflow_consumer_"]).any(|name| query.contains(name))
    }) {
        let url = url::Url::parse_with_params(&api, [("query", query)]).expect("an address");
        let what = format!("a result of {query}");
        let found = eventually(LIMIT, &what, async || {
            let answer: Value = reqwest::get(url.clone()).await.ok()?.json().await.ok()?;
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            answer["data"]["result"].as_array().filter(|result| !result.is_empty()).map(Vec::len)
        });
        found.await.expect("a panel that is not empty");
    }
}

/// Every query of the dashboard, its variables filled in.
fn panel_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("grafana/outflow.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries = targets.map(|target| target["expr"].as_str().expect("a query"));
    let queries: Vec<String> = queries
        .map(|query| query.replace("$outbox", ".*").replace("$__rate_interval", "10s"))
        .collect();
    assert!(queries.iter().all(|query| !query.contains('$')), "a variable is left");
    queries
}

/// Starts a Prometheus that scrapes the stage's relay; returns where it answers queries.
async fn scrape(prometheus: &Path, stage: &Stage) -> (Program, String) {
    let config = stage.path().join("prometheus.yml");
    let rules = path("prometheus/rules.yml");
    let text = format!(
        "global: {{scrape_interval: 200ms}}\nrule_files: [\"{}\"]\nscrape_configs:\n  - job_name: \
            outflow\n    \
         static_configs: [{{targets: [\"127.0.0.1:{}\"]}}]\n",
        rules.display(),
        stage.admin_port
    );
    std::fs::write(&config, text).expect("a file");
    let address = format!("127.0.0.1:{}", free_port().expect("a port"));
    let args = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", stage.path().join("prometheus-data").display()),
        format!("--web.listen-address={address}"),
    ];
    let args = args.each_ref().map(String::as_str);
    let server =
        Program::start("prometheus", prometheus, &args, &[], stage.path()).expect("Prometheus");
    let ready = format!("http://{address}/-/ready");
    eventually(LIMIT, "Prometheus", async || {
        reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}\n{}", server.log_tail()));
    (server, format!("http://{address}/api/v1/query"))
}
