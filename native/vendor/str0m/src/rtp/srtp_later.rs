//! Plait: SRTP keys of a connection that may never carry media.

use crate::config::KeyingMaterial;
use crate::crypto::CryptoProvider;
use crate::crypto::dtls::SrtpProfile;

use super::SrtpContext;

/// One direction's SRTP: what DTLS gave, and from the first packet on the context made of it.
///
/// A context holds four ciphers and a packet buffer, 4.5 KiB. Connections that carry data
/// channels alone never need one.
#[derive(Debug)]
pub(crate) enum SrtpLater {
    Given(Box<Given>),
    Made(Box<SrtpContext>),
}

pub(crate) struct Given {
    crypto: CryptoProvider,
    profile: SrtpProfile,
    material: KeyingMaterial,
    left: bool,
}

// Not derived: the keys are secret.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given")
            .field("profile", &self.profile)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl SrtpLater {
    pub fn new(
        crypto: &CryptoProvider,
        profile: SrtpProfile,
        material: &KeyingMaterial,
        left: bool,
    ) -> Self {
        Self::Given(Box::new(Given {
            crypto: crypto.clone(),
            profile,
            material: KeyingMaterial::new(material),
            left,
        }))
    }

    /// The context, made at the first call.
    pub fn context(&mut self) -> &mut SrtpContext {
        if let Self::Given(given) = self {
            let Given {
                crypto,
                profile,
                material,
                left,
            } = &**given;
            *self = Self::Made(Box::new(SrtpContext::new(
                crypto, *profile, material, *left,
            )));
        }
        match self {
            Self::Made(context) => context,
            Self::Given(_) => unreachable!("it was just made"),
        }
    }
}
