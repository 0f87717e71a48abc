//! Time-limited credentials and stateless nonces: nothing is remembered of who has not allocated.
//!
//! A username is `expires:call:user:thing` (unix seconds; the parts percent-encoded where they hold a
//! colon), its password `base64(HMAC-SHA1(secret, username))`, as coturn's `use-auth-secret` has it.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use stun_proto::types::message::{IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials};

use super::outbox::Client;

/// RFC 8656 section 5 wants a nonce to end within an hour.
const NONCE_LASTS: u64 = 1800;
/// Bytes of a nonce: when it was made, and the proof of it.
const TIME: usize = 4;
const PROOF: usize = 8;
/// More than that the hub never makes (RFC 8489 section 14.3 allows 513).
const LONGEST_NAME: usize = 512;

/// Who a username says that its bearer is.
#[derive(Debug, PartialEq, Eq)]
pub struct Bearer<'a> {
    pub expires: u64,
    pub call: &'a str,
    pub user: &'a str,
}

impl<'a> Bearer<'a> {
    pub fn parse(username: &'a str) -> Option<Self> {
        if username.len() > LONGEST_NAME {
            return None;
        }
        let mut parts = username.split(':');
        let bearer = Self { expires: parts.next()?.parse().ok()?, call: parts.next()?, user: parts.next()? };
        let _thing = parts.next()?;
        (parts.next().is_none() && !bearer.call.is_empty() && !bearer.user.is_empty()).then_some(bearer)
    }
}

pub struct Credentials {
    realm: String,
    passwords: hmac::Key,
    nonces: hmac::Key,
}

impl Credentials {
    /// Errors: the system has no random numbers.
    pub fn new(secret: &[u8], realm: &str) -> Result<Self, String> {
        let mut own = [0; 32];
        rand::fill(&mut own).map_err(|_| "no random numbers".to_owned())?;
        Ok(Self {
            realm: realm.to_owned(),
            passwords: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &own),
        })
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    pub fn password(&self, username: &str) -> String {
        STANDARD.encode(hmac::sign(&self.passwords, username.as_bytes()))
    }

    /// The key of a user's MESSAGE-INTEGRITY (RFC 8489 section 9.2.2).
    pub fn key(&self, username: &str, algorithm: IntegrityAlgorithm) -> IntegrityKey {
        let password = self.password(username);
        LongTermKeyCredentials::new(username.to_owned(), password, self.realm.clone()).make_key(algorithm)
    }

    /// A nonce for one client, made at `unix` seconds.
    pub fn nonce(&self, client: &Client, unix: u64) -> String {
        let time = (unix as u32).to_be_bytes();
        let mut bytes = [0; TIME + PROOF];
        bytes[..TIME].copy_from_slice(&time);
        bytes[TIME..].copy_from_slice(&self.proof(client, time));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether this nonce was made here, for this client, lately.
    pub fn is_fresh(&self, nonce: &str, client: &Client, unix: u64) -> bool {
        let mut bytes = [0; TIME + PROOF + 2];
        let Ok(TOTAL) = URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) else { return false };
        let time: [u8; TIME] = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let age = (unix as u32).wrapping_sub(u32::from_be_bytes(time));
        // Compared in the open: who has learnt a nonce by timing has a nonce, which anybody may ask for.
        u64::from(age) < NONCE_LASTS && bytes[TIME..TOTAL] == self.proof(client, time)
    }

    fn proof(&self, client: &Client, time: [u8; TIME]) -> [u8; PROOF] {
        let mut context = hmac::Context::with_key(&self.nonces);
        context.update(&time);
        context.update(client.address.to_string().as_bytes());
        let tag = context.sign();
        let mut proof = [0; PROOF];
        proof.copy_from_slice(&tag.as_ref()[..PROOF]);
        proof
    }
}

const TOTAL: usize = TIME + PROOF;
