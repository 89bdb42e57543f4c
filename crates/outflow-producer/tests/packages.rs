//! A service that only writes events builds few packages, as many as the README says.

use std::collections::BTreeSet;
use std::process::Command;

const README: &str = include_str!("../README.md");
const PACKAGES_MAX: usize = 80;

#[test]
fn the_readme_says_how_many_packages_are_built() {
    let rows = [
        ("`tokio-postgres` (default)", None),
        ("`sqlx`", Some("sqlx")),
        ("`sea-orm`", Some("sea-orm")),
    ];
    for (name, feature) in rows {
        let packages = packages(feature);
        let said = README
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")))
            .and_then(|line| line.split('|').nth(3)?.trim().parse::<usize>().ok());
        assert_eq!(said, Some(packages.len()), "{name}: {packages:#?}");
        let is_default = feature.is_none();
        assert!(!is_default || packages.len() <= PACKAGES_MAX, "{packages:#?}");
    }
}

/// Names and versions, this one among them.
fn packages(feature: Option<&str>) -> BTreeSet<String> {
    let cargo = env!("CARGO");
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["tree", "--locked", "--package", "outflow-producer", "--edges", "normal"]);
    command.args(["--prefix", "none", "--no-dedupe", "--format", "{p}"]);
    if let Some(feature) = feature {
        command.args(["--no-default-features", "--features", feature]);
    }
    let output = command.output().expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
