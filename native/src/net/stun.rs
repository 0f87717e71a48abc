//! Questions to a STUN server (RFC 8489), with what RFC 5780 adds to find out how a NAT behaves. Messages
//! only: whoever asks has the socket.

use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stun_proto::types::attribute::{
    AttributeType, ErrorCode, MappedSocketAddr, RawAttribute, XorMappedAddress,
};
use stun_proto::types::message::{BINDING, Message, MessageClass, MessageWriteVec, TransactionId};
use stun_proto::types::prelude::{MessageWrite, MessageWriteExt};

/// RFC 5780, section 7.
const CHANGE_REQUEST: AttributeType = AttributeType::new(0x0003);
const RESPONSE_ORIGIN: AttributeType = AttributeType::new(0x802B);
const OTHER_ADDRESS: AttributeType = AttributeType::new(0x802C);
const CHANGE_IP: u32 = 0x4;
const CHANGE_PORT: u32 = 0x2;

type Address = (String, u16);
/// Our address as the server saw it, its other one, the one it answered from; its error: code and words.
type Answer = (Option<Address>, Option<Address>, Option<Address>, Option<(u16, String)>);

#[pyfunction]
pub fn stun_request(py: Python<'_>, change: Option<(bool, bool)>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &request(change))
}

#[pyfunction]
pub fn stun_answer(request: &[u8], datagram: &[u8]) -> Option<Answer> {
    answer(request, datagram)
}

/// With `change`, the answer is to come from another address, port, or both; or from neither, which asks
/// no more than where those are.
fn request(change: Option<(bool, bool)>) -> Vec<u8> {
    let mut message = Message::builder_request(BINDING, MessageWriteVec::new());
    if let Some((ip, port)) = change {
        let flags = (u32::from(ip) * CHANGE_IP) | (u32::from(port) * CHANGE_PORT);
        let bytes = flags.to_be_bytes();
        // It fits: the message is empty, and no integrity was added.
        let _ = message.add_attribute(&RawAttribute::new(CHANGE_REQUEST, &bytes));
    }
    message.finish()
}

/// What `datagram` answers to `request`; None where it is no answer to it.
fn answer(request: &[u8], datagram: &[u8]) -> Option<Answer> {
    let asked = Message::from_bytes(request).ok()?;
    let message = Message::from_bytes(datagram).ok()?;
    let id: TransactionId = message.transaction_id();
    if id != asked.transaction_id() || !message.has_method(BINDING) {
        return None;
    }
    let told = |address: SocketAddr| (address.ip().to_string(), address.port());
    let plain = |kind| {
        let raw = message.raw_attribute(kind)?;
        MappedSocketAddr::from_raw(&raw).ok().map(|address| told(address.addr()))
    };
    match message.class() {
        MessageClass::Success => {
            let mapped = message.attribute::<XorMappedAddress>().ok().map(|mapped| told(mapped.addr(id)));
            Some((mapped, plain(OTHER_ADDRESS), plain(RESPONSE_ORIGIN), None))
        }
        MessageClass::Error => {
            let error = message.attribute::<ErrorCode>().ok();
            let told = error.map_or((0, String::new()), |error| (error.code(), error.reason().to_owned()));
            Some((None, None, None, Some(told)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPED: &str = "203.0.113.7:40000";
    const OTHER: [u8; 8] = [0, 1, 0x0D, 0x97, 198, 51, 100, 2];

    fn success(request: &[u8]) -> Vec<u8> {
        let request = Message::from_bytes(request).unwrap();
        let mut message = Message::builder_success(&request, MessageWriteVec::new());
        let mapped = XorMappedAddress::new(MAPPED.parse().unwrap(), request.transaction_id());
        message.add_attribute(&mapped).unwrap();
        message.add_attribute(&RawAttribute::new(OTHER_ADDRESS, &OTHER)).unwrap();
        message.finish()
    }

    #[test]
    fn what_is_to_change_is_in_the_request() {
        for (ip, port, flags) in [(true, true, 6), (false, true, 2), (true, false, 4), (false, false, 0)] {
            let bytes = request(Some((ip, port)));
            let message = Message::from_bytes(&bytes).unwrap();
            assert_eq!(&*message.raw_attribute(CHANGE_REQUEST).unwrap().value, [0, 0, 0, flags]);
        }
        assert_eq!(request(None).len(), 20);
    }

    #[test]
    fn an_answer_tells_our_address_and_the_other_one() {
        let asked = request(None);
        let (mapped, other, origin, error) = answer(&asked, &success(&asked)).unwrap();
        assert_eq!(mapped, Some(("203.0.113.7".to_owned(), 40000)));
        assert_eq!(other, Some(("198.51.100.2".to_owned(), 3479)));
        assert_eq!((origin, error), (None, None));
    }

    #[test]
    fn a_refusal_tells_its_code() {
        let asked = request(Some((true, true)));
        let read = Message::from_bytes(&asked).unwrap();
        let mut message = Message::builder_error(&read, MessageWriteVec::new());
        message.add_attribute(&ErrorCode::builder(420).build().unwrap()).unwrap();
        assert_eq!(answer(&asked, &message.finish()).unwrap().3.unwrap().0, 420);
    }

    #[test]
    fn what_is_cut_off_or_another_s_is_no_answer() {
        let asked = request(None);
        let whole = success(&asked);
        for length in 0..whole.len() {
            assert!(answer(&asked, &whole[..length]).is_none(), "{length}");
        }
        assert!(answer(&request(None), &whole).is_none());
        assert!(answer(&asked, &asked).is_none(), "a question");
    }
}
