//! Random ids, and tags that texts are compared by: with a key that only this process has, in
//! constant time, so that no secret is kept and no comparison tells how much of one was right.

use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use outflow_core::escape::hex;
use outflow_core::fault::Fault;

const BYTES: usize = 32;

/// Of a text, under the key of this process.
pub(in crate::console) type Tag = [u8; BYTES];

/// The key of this process.
pub(in crate::console) struct Key(hmac::Key);

impl Key {
    /// A new one at each start.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(in crate::console) fn new() -> Result<Self, Fault> {
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &random()?)))
    }

    pub(in crate::console) fn tag(&self, text: &[u8]) -> Tag {
        let tag = hmac::sign(&self.0, text);
        let mut bytes = [0; BYTES];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Whether the tag is this text's.
    pub(in crate::console) fn fits(&self, text: &[u8], tag: &Tag) -> bool {
        hmac::verify(&self.0, text, tag).is_ok()
    }
}

/// 256 bits, as hexadecimal digits.
///
/// # Errors
/// As [`Key::new`].
pub(in crate::console) fn random_id() -> Result<String, Fault> {
    random().map(|bytes| hex(&bytes))
}

fn random() -> Result<[u8; BYTES], Fault> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Fault::failed("the system gives no random numbers"))?;
    Ok(bytes)
}
