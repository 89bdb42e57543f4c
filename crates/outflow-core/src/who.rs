//! Who runs a command, for the audits of dead letters.

use nix::unistd::{Uid, User, gethostname};

/// Whoever runs the command; behind sudo, who asked it to.
pub fn os_user() -> String {
    let uid = Uid::current();
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    match std::env::var("SUDO_USER") {
        Ok(behind) if uid.is_root() && !behind.is_empty() => format!("{behind} (as {name})"),
        _ => name,
    }
}

/// On which host.
pub fn host() -> String {
    gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
