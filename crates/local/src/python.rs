//! Programs from the Python package index, in environments of their own; a test that needs one says
//! loudly if it has none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An environment with these packages, kept from one run to the next under `root` and `name`.
/// `None` if it cannot be made here: no Python, or no packages.
pub fn python_environment(root: &Path, name: &str, packages: &[&str]) -> Option<PathBuf> {
    let environment = root.join(format!("python-{name}"));
    // Its programs name their interpreter by its whole path: moved elsewhere, it must be made
    // again.
    let wanted = format!("{}\n{}", environment.display(), packages.join("\n"));
    let done = environment.join("packages.txt");
    if std::fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Some(environment);
    }
    let _ = std::fs::remove_dir_all(&environment);
    let run = |program: &Path, args: &[&str]| {
        let status =
            Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status();
        status.is_ok_and(|status| status.success()).then_some(())
    };
    run(Path::new("python3"), &["-m", "venv", environment.to_str()?])?;
    let install =
        [&["-m", "pip", "install", "--quiet", "--disable-pip-version-check"], packages].concat();
    run(&environment.join("bin/python"), &install)?;
    std::fs::write(&done, wanted).ok()?;
    Some(environment)
}

/// A program of such an environment.
pub fn python_tool(root: &Path, name: &str, packages: &[&str]) -> Option<PathBuf> {
    Some(python_environment(root, name, packages)?.join("bin").join(name))
}
