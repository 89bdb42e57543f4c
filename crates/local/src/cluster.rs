//! Making a Postgres data directory: initdb, or a copy of what it made before.
//!
//! initdb takes about a second, a copy a tenth. Test programs keep one beside themselves in cargo's
//! `deps/`, where `cargo clean` finds it; other programs leave nothing behind and run initdb each
//! time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::User;

use super::files::copy_tree;
use super::find::is_deps;
use super::program::Program;
use super::user::give;
use super::{Error, find};

const INITDB_LIMIT: Duration = Duration::from_mins(1);

/// Fills `data`, which must not exist yet, owned by `user`. Trust authentication, UTF-8, C locale,
/// superuser `postgres`.
pub(super) async fn create(data: &Path, dir: &Path, user: Option<&User>) -> Result<(), Error> {
    let cache = cache_of(&find("initdb")?);
    if let Some(cache) = cache.as_deref().filter(|cache| cache.is_dir()) {
        return copy(cache.to_owned(), data.to_owned(), user.cloned()).await;
    }
    initdb(data, dir, user).await?;
    if let Some(cache) = cache {
        keep(data, &cache).await;
    }
    Ok(())
}

async fn initdb(data: &Path, dir: &Path, user: Option<&User>) -> Result<(), Error> {
    fs::create_dir(data).map_err(Error::io("creating", data))?;
    give(data, user)?;
    let mut command = Command::new(find("initdb")?);
    // --no-sync: the files are new and a crash of the machine ends the demo or test anyway.
    command.arg("--pgdata").arg(data).args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
    ]);
    command.args(["--locale=C", "--no-sync"]);
    let mut initdb = Program::spawn("initdb", command, user, dir)?;
    let status = initdb.wait(INITDB_LIMIT).await?;
    if status.success() { Ok(()) } else { Err(initdb.failure(&format!("initdb failed: {status}"))) }
}

/// Where a test program keeps its copy; `None` for any other program. What `initdb --version` says
/// is part of the name: a newer Postgres does not start on an older one's files.
fn cache_of(initdb: &Path) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let beside = own.parent().filter(|directory| is_deps(directory))?;
    let version = Command::new(initdb)
        .arg("--version")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let said = String::from_utf8_lossy(&version.stdout);
    let name: String =
        said.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Some(beside.join(format!("outflow-cluster-{name}")))
}

/// Keeps a copy for the next server. It is renamed into place when it is whole: other threads and
/// processes do the same. When it cannot be kept, the next server runs initdb too, so that errors
/// do not matter here.
async fn keep(data: &Path, cache: &Path) {
    let unfinished = cache.with_extension(uuid::Uuid::new_v4().simple().to_string());
    let copied = copy(data.to_owned(), unfinished.clone(), None).await;
    if copied.is_err() || fs::rename(&unfinished, cache).is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
}

async fn copy(from: PathBuf, to: PathBuf, user: Option<User>) -> Result<(), Error> {
    let copying = tokio::task::spawn_blocking(move || copy_tree(&from, &to, user.as_ref()));
    copying
        .await
        .map_err(|panic| Error::User(format!("copying a Postgres data directory: {panic}")))?
}
