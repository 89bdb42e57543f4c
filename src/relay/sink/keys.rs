//! Names of the relay's own keys in Redis. Pure.

/// Key of an outbox's journal in Redis. On a cluster it is in the slot of the streams, whose hash
/// tag is `tag`.
pub fn journal_key(journal: &str, tag: Option<&str>) -> String {
    match tag {
        None => format!("outflow:journal:{{{journal}}}"),
        Some(tag) => format!("outflow:journal:{journal}:{{{tag}}}"),
    }
}

/// Key of the registry. It fits the pattern that the journal's key fits, in ACLs too.
pub(super) fn registry_key(journal: &str, tag: Option<&str>) -> String {
    journal_key(&format!("{journal}.streams"), tag)
}
