//! Files that hold a secret: where a bare name leads, and that nobody else can read them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use outflow_core::fault::Fault;
use secrecy::SecretString;

/// Where systemd puts a service's credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Others may read.
const OTHERS_READ: u32 = 0o004;

/// The file that a path means: a bare name is a credential of systemd (`LoadCredential=`), if there
/// is one of that name.
pub fn resolve(path: &Path) -> PathBuf {
    let is_bare = path.components().count() == 1 && path.file_name().is_some();
    let directory = std::env::var_os(CREDENTIALS_DIRECTORY).filter(|_| is_bare);
    let credential = directory.map(|directory| Path::new(&directory).join(path));
    credential.filter(|file| file.exists()).unwrap_or_else(|| path.to_owned())
}

/// Refuses a file that everybody on the machine can read.
///
/// Only the bit for others counts. Not the one for the group: Kubernetes gives a secret's files to
/// root and to the pod's `fsGroup`, so that a process that is not root can read them by its group
/// alone, and administrators use groups in the same way. And no exception for a mount of Kubernetes
/// or Docker, whose defaults (0644, 0444) are open to others: one line of the manifest closes them,
/// and whether a mount is private cannot be told from inside.
///
/// # Errors
/// What is wrong and what to run; the file is missing or may not be looked at.
pub fn check(path: &Path) -> Result<(), Fault> {
    let mode = fs::metadata(path).map_err(|error| unreadable(path, error))?.permissions().mode();
    if mode & OTHERS_READ == 0 {
        return Ok(());
    }
    let (mode, path) = (mode & 0o777, path.display());
    let open = Fault::configuration(format!("{path}: others can read it (mode {mode:04o})"));
    Err(open.remedy(format!(
        "run: chmod o-rwx {path} (in Kubernetes: defaultMode: 0440 for the secret's volume, with \
            an fsGroup; in Docker: mode: 0440)"
    )))
}

fn unreadable(path: &Path, error: std::io::Error) -> Fault {
    Fault::configuration(format!("{}: {error}", path.display())).because(error)
}

/// Reads a secret: the text of a file that is closed to others, without the line end.
///
/// # Errors
/// As [`check`], and when the file is empty or cannot be read. Never holds the secret.
pub fn read(path: &Path) -> Result<SecretString, Fault> {
    if crate::address::is_address(path) {
        return Err(Fault::configuration(
            "expected the path of a file that holds the address, found an address",
        ));
    }
    let path = resolve(path);
    check(&path)?;
    let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        Err(Fault::configuration(format!("{}: is empty", path.display())))
    } else {
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn the_bit_for_others_decides() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("secret");
        fs::write(&file, "hunter2\n").expect("a file");
        let table = [
            (0o400, true),
            (0o600, true),
            (0o440, true),
            (0o640, true),
            (0o644, false),
            (0o404, false),
        ];
        for (mode, is_fine) in table {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
            match read(&file) {
                Ok(secret) => assert!(is_fine && secret.expose_secret() == "hunter2", "{mode:o}"),
                Err(fault) => {
                    let message = fault.to_string();
                    assert!(
                        !is_fine && message.contains("chmod o-rwx") && !message.contains("hunter2"),
                        "{message}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_link_is_as_open_as_what_it_leads_to() {
        // As Kubernetes mounts a secret: the name is a link through another link.
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("..2026_11_21");
        fs::create_dir(&data).expect("a directory");
        fs::write(data.join("url"), "x").expect("a file");
        std::os::unix::fs::symlink("..2026_11_21", dir.path().join("..data")).expect("a link");
        std::os::unix::fs::symlink("..data/url", dir.path().join("url")).expect("a link");
        let set = |mode| {
            fs::set_permissions(data.join("url"), fs::Permissions::from_mode(mode))
                .expect("a mode");
        };
        set(0o644);
        assert!(check(&dir.path().join("url")).is_err());
        set(0o440);
        assert_eq!(check(&dir.path().join("url")), Ok(()));
    }
}
