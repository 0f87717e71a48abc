//! Answers to requests (RFC 8489 section 6.3, RFC 8656 section 19).

use std::net::{IpAddr, SocketAddr};

use stun_proto::types::attribute::{
    Attribute, AttributeStaticType, AttributeType, AttributeWrite, ErrorCode, Fingerprint, RawAttribute,
    UnknownAttributes,
};
use stun_proto::types::message::{Message, MessageWrite, MessageWriteExt, MessageWriteVec};

use super::integrity::{self, Signer};

pub type Attributes = Vec<Box<dyn AttributeWrite>>;

/// A request that is not granted: the code, and what is told besides.
pub struct Refusal {
    pub code: u16,
    pub more: Attributes,
}

impl From<u16> for Refusal {
    fn from(code: u16) -> Self {
        Self { code, more: Vec::new() }
    }
}

/// Writes the answer to `request`, signed where somebody signs.
pub fn write(
    request: &Message<'_>,
    outcome: Result<Attributes, Refusal>,
    signer: Option<&Signer>,
) -> Vec<u8> {
    let (mut answer, attributes) = match outcome {
        Ok(attributes) => (Message::builder_success(request, MessageWriteVec::new()), attributes),
        Err(Refusal { code, mut more }) => {
            // Who is not known yet gets few words: what comes back should not be longer than what came.
            let reason = if signer.is_none() { "" } else { ErrorCode::default_reason_for_code(code) };
            if let Ok(error) = ErrorCode::new(code, reason) {
                more.insert(0, Box::new(error));
            }
            (Message::builder_error(request, MessageWriteVec::new()), more)
        }
    };
    // Nothing here fails: each attribute is there once, and all together are far from 64 KiB.
    for attribute in &attributes {
        let _ = answer.add_attribute(&**attribute);
    }
    let mut answer = answer.finish();
    if let Some(signer) = signer {
        signer.sign(&mut answer);
    }
    if request.has_attribute(Fingerprint::TYPE) {
        integrity::add_fingerprint(&mut answer);
    }
    answer
}

/// Attributes that must be understood and are not: 420 names them.
pub fn unknown(request: &Message<'_>, known: &[AttributeType]) -> Option<Refusal> {
    let strange = request.iter_attributes().map(|(_, attribute)| attribute.get_type());
    let strange: Vec<AttributeType> =
        strange.filter(|kind| kind.comprehension_required() && !known.contains(kind)).take(8).collect();
    if strange.is_empty() {
        return None;
    }
    Some(Refusal {
        code: ErrorCode::UNKNOWN_ATTRIBUTE,
        more: vec![Box::new(UnknownAttributes::new(&strange))],
    })
}

/// An address that is not exclusive-ored, as RFC 5780 section 7 has it.
pub fn plain_address(kind: AttributeType, address: SocketAddr) -> RawAttribute<'static> {
    let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
    value.extend(address.port().to_be_bytes());
    match address.ip() {
        IpAddr::V4(ip) => value.extend(ip.octets()),
        IpAddr::V6(ip) => value.extend(ip.octets()),
    }
    RawAttribute::new_owned(kind, value.into())
}
