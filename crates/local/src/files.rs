//! Copies of data directories: what a server comes back with if it goes back in time.

use std::fs;
use std::path::Path;

use nix::unistd::User;

use super::Error;
use super::user::give;

/// Makes `to` a copy of `from`, owned by `user`; what was there before is removed. A file that its
/// server is writing to may end in the middle of a command.
pub(super) fn copy_over(from: &Path, to: &Path, user: Option<&User>) -> Result<(), Error> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(Error::io("removing", to))?;
    }
    copy_tree(from, to, user)
}

/// A data directory has only files and directories: no links, no tablespaces.
pub(super) fn copy_tree(from: &Path, to: &Path, user: Option<&User>) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::io("creating", to))?;
    let mode = fs::metadata(from).map_err(Error::io("looking at", from))?.permissions();
    fs::set_permissions(to, mode).map_err(Error::io("changing the mode of", to))?;
    give(to, user)?;
    for entry in fs::read_dir(from).map_err(Error::io("reading", from))? {
        let entry = entry.map_err(Error::io("reading", from))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target, user)?;
        } else {
            fs::copy(entry.path(), &target).map_err(Error::io("copying to", &target))?;
            give(&target, user)?;
        }
    }
    Ok(())
}
