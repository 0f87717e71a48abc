//! Signatures of requests and answers: MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489 sections
//! 14.5 and 14.6), each with a key of either password algorithm (section 14.12). The library signs with two
//! of the four pairs only.

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest, Md5};
use stun_proto::types::attribute::{Fingerprint, PasswordAlgorithmValue};

use super::wire::HEADER;

const FINGERPRINT: u16 = 0x8028;
/// Section 14.7: so that it differs from other checksums.
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// What a signature is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn attribute(self) -> u16 {
        match self {
            Self::Sha1 => 0x0008,
            Self::Sha256 => 0x001c,
        }
    }

    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }
}

/// Checks and makes signatures for one user.
pub struct Signer {
    key: hmac::Key,
    hash: Hash,
}

impl Signer {
    /// For a long-term credential (section 9.2.2).
    pub fn new(
        algorithm: PasswordAlgorithmValue,
        hash: Hash,
        [username, realm, password]: [&str; 3],
    ) -> Self {
        let text = format!("{username}:{realm}:{password}");
        let key = match algorithm {
            PasswordAlgorithmValue::MD5 => hmac::Key::new(hash.algorithm(), &Md5::digest(&text)),
            PasswordAlgorithmValue::SHA256 => {
                let digest = digest::digest(&digest::SHA256, text.as_bytes());
                hmac::Key::new(hash.algorithm(), digest.as_ref())
            }
        };
        Self { key, hash }
    }

    /// Whether a whole STUN message was signed so. A signature that was cut short was not: TURN does not
    /// say that it may be.
    pub fn verify(&self, message: &[u8]) -> bool {
        let Some((at, signature)) = find(message, self.hash.attribute()) else { return false };
        let tag = self.tag(message, at, signature.len());
        constant_time::verify_slices_are_equal(tag.as_ref(), signature).is_ok()
    }

    /// Adds the signature.
    pub fn sign(&self, message: &mut Vec<u8>) {
        let length = self.hash.algorithm().digest_algorithm().output_len();
        let tag = self.tag(message, message.len(), length);
        add(message, self.hash.attribute(), tag.as_ref());
    }

    /// Of what is before offset `at`, with a header that says that a signature of `length` follows, and no more.
    fn tag(&self, message: &[u8], at: usize, length: usize) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&message[..2]);
        context.update(&((at + 4 + length - HEADER) as u16).to_be_bytes());
        context.update(&message[4..at]);
        context.sign()
    }
}

/// Adds FINGERPRINT.
pub fn add_fingerprint(message: &mut Vec<u8>) {
    let length = ((message.len() + 8 - HEADER) as u16).to_be_bytes();
    let sum = Fingerprint::compute(&[&message[..2], &length, &message[4..]]);
    let value = u32::from_be_bytes(sum) ^ FINGERPRINT_MASK;
    add(message, FINGERPRINT, &value.to_be_bytes());
}

/// Adds an attribute whose length is a multiple of four.
fn add(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    let length = (message.len() - HEADER) as u16;
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

/// The first attribute of this kind: where its header is, and its value.
fn find(message: &[u8], kind: u16) -> Option<(usize, &[u8])> {
    let mut at = HEADER;
    while let [a, b, c, d, rest @ ..] = message.get(at..)? {
        let value = rest.get(..usize::from(u16::from_be_bytes([*c, *d])))?;
        if u16::from_be_bytes([*a, *b]) == kind {
            return Some((at, value));
        }
        at += 4 + value.len().next_multiple_of(4);
    }
    None
}
