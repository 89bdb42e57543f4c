//! Style as a test: what the house rules say and no lint knows.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut waiting = vec![root.join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                found.push((path.strip_prefix(root).expect("below it").to_path_buf(), text));
            }
        }
    }
    found
}

fn offenders(folder: &str, offends: impl Fn(&Path, &str) -> bool) -> Vec<PathBuf> {
    let all = sources(folder);
    assert!(!all.is_empty(), "{folder} has no sources");
    all.into_iter().filter(|(path, text)| offends(path, text)).map(|(path, _)| path).collect()
}

fn is_bench(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "benches")
}

#[test]
fn the_first_line_says_what_a_file_is_for() {
    for folder in ["src", "crates", "tests"] {
        let offending = offenders(folder, |_, text| !text.starts_with("//! "));
        assert!(offending.is_empty(), "{offending:?}");
    }
}

#[test]
fn fred_and_figment_are_named_where_they_belong() {
    for folder in ["src", "crates"] {
        let ours = Path::new("crates/outflow-connect/src");
        let fred =
            offenders(folder, |path, text| text.contains("fred::") && !path.starts_with(ours));
        assert!(fred.is_empty(), "fred in {fred:?}");
    }
    let figment = offenders("src", |path, text| {
        text.contains("figment::") && !path.starts_with("src/config")
    });
    assert!(figment.is_empty(), "figment in {figment:?}");
}

#[test]
fn the_two_sides_do_not_know_each_other() {
    let outbox = offenders("src/relay/outbox", |_, text| {
        text.contains("relay::sink") || text.contains("outflow_connect::redis")
    });
    let sink = offenders("src/relay/sink", |_, text| {
        text.contains("relay::outbox") || text.contains("outflow_connect::postgres")
    });
    assert!(outbox.is_empty() && sink.is_empty(), "{outbox:?} {sink:?}");
}

/// They panic when nobody reads their output; `terminal::line` and `terminal::say` do not.
#[test]
fn nothing_is_printed_by_macros_that_panic() {
    let prints = |line: &str| {
        !line.trim_start().starts_with("//")
            && (line.contains("println!(") || line.contains("print!("))
    };
    for folder in ["src", "crates"] {
        let printing = offenders(folder, |path, text| !is_bench(path) && text.lines().any(prints));
        assert!(printing.is_empty(), "{printing:?}");
    }
}

#[test]
fn files_stay_small() {
    for folder in ["src", "crates"] {
        let long = offenders(folder, |path, text| !is_bench(path) && text.lines().count() > 400);
        assert!(long.is_empty(), "{long:?}");
    }
}

#[test]
fn lines_have_at_most_100_columns() {
    for folder in ["src", "crates", "tests"] {
        let wide = |text: &str| text.lines().any(|line| line.chars().count() > 100);
        let offending = offenders(folder, |_, text| wide(text));
        assert!(offending.is_empty(), "{offending:?}");
    }
}

#[test]
fn tests_wait_for_conditions() {
    let word = ["sleep", "("].concat();
    let sleeping = offenders("tests/it", |_, text| {
        text.lines().any(|line| line.contains(&word) && !line.contains("pg_sleep"))
    });
    assert!(sleeping.is_empty(), "{sleeping:?}");
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|&c| c.is_alphanumeric() || "-_ ".contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs =
        fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let named = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md"];
    let named = named.map(|name| root.join(name));
    let (mut links, mut broken) = (0, Vec::new());
    for document in named.into_iter().chain(docs) {
        let text = fs::read_to_string(&document).expect("a text");
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')'))
            .map(|(target, _)| target);
        for target in targets.filter(|target| !target.contains("://")) {
            links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file =
                if file.is_empty() { document.clone() } else { document.with_file_name(file) };
            let has_heading = || {
                let text = fs::read_to_string(&file).unwrap_or_default();
                text.lines().any(|line| {
                    line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading
                })
            };
            if !file.exists() || !heading.is_empty() && !has_heading() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(links > 0 && broken.is_empty(), "{broken:?}");
}
