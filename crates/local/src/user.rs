//! Whom Postgres runs as: never root, which it refuses.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::unistd::{Uid, User};

use super::Error;

/// Search permission for everybody, the least that lets another user reach what is inside.
const SEARCH_BITS: u32 = 0o011;

/// The user for Postgres's processes: `None` (ourselves) unless we are root; then `postgres`, else
/// `nobody`.
///
/// # Errors
/// [`Error::User`] when the machine has neither.
pub(super) fn unprivileged() -> Result<Option<User>, Error> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let known =
        ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    known.map(Some).ok_or_else(|| {
        Error::User(
            "Postgres does not run as root, and there is no user postgres nor nobody; create one"
                .to_owned(),
        )
    })
}

/// Makes `user` the owner of a file or directory; nothing when there is no other user.
pub(super) fn give(path: &Path, user: Option<&User>) -> Result<(), Error> {
    let Some(user) = user else { return Ok(()) };
    chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
        .map_err(Error::io("changing the owner of", path))
}

/// Lets other users search `directory` and its parents, as far as they are temporary ones (made
/// with mode 0700).
///
/// # Errors
/// [`Error::User`] names a closed parent outside of the temporary directory, whose mode is not ours
/// to change.
pub(super) fn open_the_way(directory: &Path, user: Option<&User>) -> Result<(), Error> {
    let Some(user) = user else { return Ok(()) };
    let temporary = std::env::temp_dir();
    for step in directory.ancestors() {
        let mode = step.metadata().map_err(Error::io("looking at", step))?.permissions().mode();
        if mode & SEARCH_BITS == SEARCH_BITS {
            continue;
        }
        if step == temporary || !step.starts_with(&temporary) {
            let closed = step.display();
            return Err(Error::User(format!(
                "Postgres runs as {} here, which cannot reach {} because {closed} is closed to \
                    others; \
                 set TMPDIR to a directory that everybody can reach, such as /tmp",
                user.name,
                directory.display(),
            )));
        }
        std::fs::set_permissions(step, Permissions::from_mode(mode | SEARCH_BITS))
            .map_err(Error::io("opening to other users", step))?;
    }
    Ok(())
}
