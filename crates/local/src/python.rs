//! Programs from the Python package index, in environments of their own. Whoever needs one fails
//! without it: what is missing is named in the error, with what installs it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;

/// The lines of an environment's own file that says what is in it.
const DONE: &str = "packages.txt";

/// An environment with these packages, kept from one run to the next under `root` and `name`. Each
/// package is a line of a requirements file, so a line can pin the package's hash, too.
///
/// # Errors
/// [`Error::Python`] if there is no Python with `venv`, or the packages cannot be installed.
pub fn python_environment(root: &Path, name: &str, packages: &[&str]) -> Result<PathBuf, Error> {
    let environment = root.join(format!("python-{name}"));
    fs::create_dir_all(root).map_err(Error::io("creating", root))?;
    // Two tests may need it at the same time: the second one waits for the first.
    let lock = root.join(format!("python-{name}.lock"));
    let held = File::create(&lock).map_err(Error::io("creating", &lock))?;
    held.lock().map_err(Error::io("locking", &lock))?;
    // Its programs name their interpreter by its whole path: moved elsewhere, it must be made
    // again.
    let wanted = format!("{}\n{}", environment.display(), packages.join("\n"));
    let done = environment.join(DONE);
    if fs::read_to_string(&done).is_ok_and(|found| found == wanted) {
        return Ok(environment);
    }
    if environment.exists() {
        fs::remove_dir_all(&environment).map_err(Error::io("removing", &environment))?;
    }
    let failed = |said| Error::Python { packages: packages.join(", "), said };
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment)).map_err(failed)?;
    let requirements = environment.join("requirements.txt");
    fs::write(&requirements, packages.join("\n")).map_err(Error::io("writing", &requirements))?;
    let mut install = Command::new(environment.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    run(install.arg(&requirements)).map_err(failed)?;
    fs::write(&done, wanted).map_err(Error::io("writing", &done))?;
    Ok(environment)
}

/// Runs a step to its end; its words if that is no good one.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    // `venv` explains itself on stdout, pip on stderr.
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&said).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without network access, and without a package index: nothing is passed over.
    #[test]
    fn what_cannot_be_installed_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let absent = dir.path().join("absent.whl").display().to_string();
        let refused = python_environment(dir.path(), "absent", &[&absent]).expect_err("no package");
        let text = refused.to_string();
        for word in [&absent, "make tools", "Python package index"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
        // What is half done is not taken for done by the next run.
        python_environment(dir.path(), "absent", &[&absent]).expect_err("still no package");
    }

    #[test]
    fn an_environment_is_made_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = python_environment(dir.path(), "empty", &[]).expect("an environment");
        let python = made.join("bin/python");
        assert!(python.is_file());
        fs::write(made.join("mark"), "").expect("a file");
        let again = python_environment(dir.path(), "empty", &[]).expect("the same");
        assert!(again.join("mark").is_file(), "it was made again");
    }
}
