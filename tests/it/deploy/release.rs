//! What can be held of a release without building one: the crates can be published, and the image
//! takes what the script packs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::install::read;

fn of_root(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The workspace's own packages.
fn packages() -> Vec<Value> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// Targets that the script builds if nobody names others, without the host.
fn targets() -> Vec<String> {
    let script = of_root("scripts/release.sh");
    let (_, rest) = script.split_once("${TARGETS:-").expect("the targets");
    let list = rest.split('}').next().expect("an end");
    list.split_whitespace().filter(|word| *word != "$host").map(str::to_owned).collect()
}

#[test]
fn every_crate_has_what_a_registry_asks_for() {
    let packages = packages();
    let is_private = |package: &&Value| package["publish"].as_array().is_some_and(Vec::is_empty);
    let (private, public): (Vec<&Value>, Vec<&Value>) = packages.iter().partition(is_private);
    let names = |of: &[&Value]| -> BTreeSet<String> {
        of.iter().map(|package| package["name"].as_str().expect("a name").to_owned()).collect()
    };
    let (private, published) = (names(&private), names(&public));
    assert_eq!((private.len(), published.len()), (3, 6), "{private:?} {published:?}");
    for package in public {
        let name = package["name"].as_str().expect("a name");
        for field in ["description", "license", "readme", "rust_version"] {
            assert!(package[field].is_string(), "{name} has no {field}");
        }
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        let readme = manifest.with_file_name(package["readme"].as_str().expect("a path"));
        assert!(readme.is_file(), "{name}: {}", readme.display());
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let of = dependency["name"].as_str().expect("a name");
            // Those of tests are left out if they have a path only.
            if dependency["kind"] == "dev" || dependency["path"].is_null() {
                continue;
            }
            assert!(published.contains(of), "{name} needs {of}, which is not published");
            let version = format!("^{}", package["version"].as_str().expect("a version"));
            assert_eq!(dependency["req"], version, "{name} needs {of} in another version");
        }
    }
}

/// The image is made of tarballs by their names, and of files by their paths in them.
#[test]
fn the_image_takes_what_the_script_packs() {
    let (image, script) = (read("Dockerfile.release"), of_root("scripts/release.sh"));
    let added: Vec<&str> = image.lines().filter_map(|line| line.strip_prefix("ADD ")).collect();
    let packed = targets();
    let tarballs: Vec<String> =
        packed.iter().map(|target| format!("outflow-${{VERSION}}-{target}.tar.gz /")).collect();
    assert_eq!(added, tarballs);
    assert!(
        script.contains("name=outflow-$version-$1") && script.contains("\"$out/$name.tar.gz\"")
    );
    let copied = image.lines().filter_map(|line| line.strip_prefix("COPY --from=release "));
    let copied: Vec<&str> = copied
        .map(|line| line.split_once("-*/").expect("a path in the tarball").1)
        .map(|path| path.split(' ').next().expect("a path"))
        .collect();
    assert_eq!(copied, ["bin/outflow", "LICENSE-*"]);
    assert!(script.contains("\"$dir/bin/outflow\"") && script.contains("cp LICENSE-MIT"));
    let releasing = of_root("docs/releasing.md");
    for target in packed {
        assert!(releasing.contains(&format!("`outflow-VERSION-{target}.tar.gz`")), "{target}");
    }
}

/// Whoever changes from one image to the other changes nothing else.
#[test]
fn both_images_run_in_the_same_way() {
    let run = ["USER ", "ENV ", "EXPOSE ", "HEALTHCHECK ", "STOPSIGNAL ", "ENTRYPOINT ", "CMD "];
    let of = |name: &str| -> Vec<String> {
        let text = read(name);
        let (_, last) = text.rsplit_once("FROM scratch\n").expect("a last stage");
        let lines = last.lines().filter(|line| run.iter().any(|word| line.starts_with(word)));
        lines.map(str::to_owned).collect()
    };
    let (compiled, released) = (of("Dockerfile"), of("Dockerfile.release"));
    assert_eq!(compiled.len(), run.len());
    assert_eq!(compiled, released);
}
