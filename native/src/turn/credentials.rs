//! Time-limited credentials and stateless nonces: nothing is remembered of who has not allocated.
//!
//! A username is `expires:call:user:thing` (unix seconds; the parts percent-encoded where they hold a
//! colon), its password `base64(HMAC-SHA1(secret, username))`, as coturn's `use-auth-secret` has it.

use aws_lc_rs::hmac;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use stun_proto::types::attribute::PasswordAlgorithmValue;

use super::integrity::{Hash, Signer};
use super::outbox::Client;

/// RFC 8656 section 5 wants a nonce to end within an hour.
const NONCE_LASTS: u64 = 1800;
/// Bytes of a nonce: when it was made, in seconds, and the proof of it. Few, since a challenge is to be hardly longer
/// than what asks for it, and since who guesses one has what anybody may ask for.
const TIME: usize = 3;
const PROOF: usize = 6;
/// RFC 8489 section 9.2: a nonce that begins so says next what its server can, 24 bits in base64; here,
/// password algorithms (bit 0, section 18.1). A challenge that lost its PASSWORD-ALGORITHMS on the way, so
/// that the weakest is used, is known by it.
const COOKIE: &str = "obMatJos2AAAB";
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

    /// Who checks a user's signatures, and makes those for them.
    pub fn signer(&self, username: &str, algorithm: PasswordAlgorithmValue, hash: Hash) -> Signer {
        Signer::new(algorithm, hash, [username, &self.realm, &self.password(username)])
    }

    /// A nonce for one client, made at `unix` seconds.
    pub fn nonce(&self, client: &Client, unix: u64) -> String {
        let [_, time @ ..] = (unix as u32).to_be_bytes();
        let mut bytes = [0; TIME + PROOF];
        bytes[..TIME].copy_from_slice(&time);
        bytes[TIME..].copy_from_slice(&self.proof(client, time));
        format!("{COOKIE}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether this nonce was made here, for this client, lately.
    pub fn is_fresh(&self, nonce: &str, client: &Client, unix: u64) -> bool {
        let Some(nonce) = nonce.strip_prefix(COOKIE) else { return false };
        let mut bytes = [0; TIME + PROOF + 2];
        let Ok(TOTAL) = URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes) else { return false };
        let [a, b, c, ..] = bytes;
        let time: [u8; TIME] = [a, b, c];
        let age = (unix as u32).wrapping_sub(u32::from_be_bytes([0, a, b, c])) & 0x00ff_ffff;
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
