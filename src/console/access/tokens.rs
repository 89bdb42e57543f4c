//! The tokens, as their files have them now. Only their tags are kept in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use secrecy::ExposeSecret as _;

use super::secret::{Key, Tag};
use crate::config::{Console, Role, Token};
use outflow_connect::secret_file;
use outflow_core::fault::Fault;

/// A token that is shorter can be guessed.
const CHARS_MIN: usize = 16;
/// Files are read again after this, when somebody asks.
const AGE_MAX: Duration = Duration::from_secs(1);

/// Clones would read the files twice; it is shared by reference.
pub(super) struct Tokens {
    key: Arc<Key>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    read_at: Option<Instant>,
    tokens: Vec<Known>,
}

/// A token, and what its file was when it was read.
struct Known {
    token: Token,
    tag: Result<Tag, Fault>,
}

/// Whose token it is.
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) tag: Tag,
}

impl Tokens {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self { key, held: Mutex::default() }
    }

    /// Reads every file.
    ///
    /// # Errors
    /// The first that cannot be used, or is the same as another, by its key.
    pub(super) fn check(&self, config: &Console) -> Result<(), Fault> {
        let mut known = Vec::new();
        for (number, token) in config.tokens.iter().enumerate() {
            let place = format!("console.tokens.{number}.file");
            let tag = self.read(token).map_err(|fault| fault.at(&place))?;
            if let Some((_, other)) = known.iter().find(|(before, _)| *before == tag) {
                let what = format!("it is the same token as that of {other}: who acts is unknown");
                let remedy = "write another one to this file (openssl rand -hex 32)";
                return Err(Fault::configuration(what).remedy(remedy).at(place));
            }
            known.push((tag, &token.name));
        }
        Ok(())
    }

    /// Whose token this is. Compares with each, so that the time says nothing of which it is. Two
    /// files may have become the same since the start: then it is that of who may do less.
    pub(super) fn owner(&self, config: &Console, given: &str) -> Option<Owner> {
        let held = self.current(config);
        let fits = |known: &&Known| {
            known.tag.as_ref().is_ok_and(|tag| self.key.fits(given.as_bytes(), tag))
        };
        let all: Vec<&Known> = held.tokens.iter().filter(fits).collect();
        let known = all.into_iter().min_by_key(|known| known.token.role)?;
        let tag = *known.tag.as_ref().ok()?;
        Some(Owner { name: known.token.name.clone(), tag })
    }

    /// What whoever logged in with this token may do; `None` if it is theirs no more.
    pub(super) fn role(&self, config: &Console, name: &str, tag: &Tag) -> Option<Role> {
        let held = self.current(config);
        let is_theirs = |known: &&Known| known.token.name == name && known.tag.as_ref() == Ok(tag);
        held.tokens.iter().find(is_theirs).map(|known| known.token.role)
    }

    fn current(&self, config: &Console) -> parking_lot::MutexGuard<'_, Held> {
        let mut held = self.held.lock();
        let is_same = held.tokens.iter().map(|known| &known.token).eq(&config.tokens);
        if is_same && held.read_at.is_some_and(|at| at.elapsed() < AGE_MAX) {
            return held;
        }
        let known = |token: &Token| Known { token: token.clone(), tag: self.read(token) };
        let tokens: Vec<Known> = config.tokens.iter().map(known).collect();
        for known in &tokens {
            let before = held.tokens.iter().find(|before| before.token == known.token);
            tell(known, before);
        }
        *held = Held { read_at: Some(Instant::now()), tokens };
        held
    }

    fn read(&self, token: &Token) -> Result<Tag, Fault> {
        // A name without a slash may be the token itself, given in the place of its file.
        let is_path = token.file.to_string_lossy().contains('/');
        if !is_path && !secret_file::resolve(&token.file).exists() {
            let what = "there is no such file (its name is not shown: it may be the token itself)";
            let remedy = "write the token to a file and give the file's path";
            return Err(Fault::configuration(what).remedy(remedy));
        }
        let secret = secret_file::read(&token.file)?;
        let text = secret.expose_secret();
        if text.chars().count() < CHARS_MIN {
            let file = token.file.display();
            let what = format!("{file}: the token has fewer than {CHARS_MIN} characters");
            let remedy = format!("run: openssl rand -hex 32 > {file}");
            return Err(Fault::configuration(what).remedy(remedy));
        }
        Ok(self.key.tag(text.as_bytes()))
    }
}

/// Says once that a file cannot be used any more, and once that a token has changed.
fn tell(now: &Known, before: Option<&Known>) {
    let name = &now.token.name;
    match (&now.tag, before.map(|before| &before.tag)) {
        (Err(fault), Some(Ok(_)) | None) => tracing::error!(
            token = name,
            reason = %fault,
            "the token cannot be read: nobody can use it, and its sessions have ended"
        ),
        (Ok(_), Some(Err(_))) => tracing::info!(token = name, "the token can be read again"),
        (Ok(now), Some(Ok(before))) if now != before => {
            tracing::info!(token = name, "the token was changed: its sessions have ended");
        }
        _ => {}
    }
}
