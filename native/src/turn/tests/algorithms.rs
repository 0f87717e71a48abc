//! Password algorithms, and the signatures that rest on them.

use stun_proto::types::attribute::{
    AttributeType, PasswordAlgorithm, PasswordAlgorithmValue as Value, PasswordAlgorithms, RawAttribute,
};

use super::super::integrity::{Hash, Signer, add_fingerprint};
use super::*;

/// RFC 5769 section 2.4: MD5, MESSAGE-INTEGRITY.
const MD5: &str = "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000\
     0015001c662f2f3439396b39353464364f4c33346f4c394653547679363473410014000b6578616d706c652e\
     6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666";
/// RFC 8489 appendix B.1, with erratum 6268: SHA-256, MESSAGE-INTEGRITY-SHA256.
const SHA256: &str = "000100902112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f24819415\
     569e60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33\
     346f4c394653547679363473410000000014000b6578616d706c652e6f726700001d000400020000001c0020\
     b5c7bf005b6c52a21c51c5e892f81924136296cb927c43149309278cc6518e65";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

#[test]
fn the_rfcs_messages_are_signed_as_they_have_it() {
    // As SASLprep makes it of what the RFC has.
    let known = ["\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}", "example.org", "TheMatrIX"];
    let table = [(Value::MD5, Hash::Sha1, MD5, 24), (Value::SHA256, Hash::Sha256, SHA256, 36)];
    for (algorithm, hash, message, attribute) in table {
        let signer = Signer::new(algorithm, hash, known);
        let message = bytes(message);
        assert!(signer.verify(&message), "{hash:?}");
        let mut made = message[..message.len() - attribute].to_vec();
        signer.sign(&mut made);
        assert_eq!(made, message, "{hash:?}");
        for at in (0..message.len()).filter(|at| !(2..4).contains(at)) {
            let mut changed = message.clone();
            changed[at] ^= 1;
            assert!(!signer.verify(&changed), "{hash:?}, byte {at}");
        }
        assert!(!signer.verify(&message[..message.len() - attribute]));
        let other = Signer::new(algorithm, hash, [known[0], known[1], "TheMatrix"]);
        assert!(!other.verify(&message));
    }
}

/// A request that is signed with what `algorithm` makes of the password.
fn asking(end: &End, algorithm: Option<Value>, hash: Hash, offered: Option<&[Value]>) -> Vec<u8> {
    let mut message = Message::builder_request(ALLOCATE, MessageWriteVec::new());
    message.add_attribute(&RequestedTransport::new(17)).unwrap();
    message.add_attribute(&Username::new(&end.username).unwrap()).unwrap();
    message.add_attribute(&Realm::new(REALM).unwrap()).unwrap();
    message.add_attribute(&Nonce::new(&end.nonce).unwrap()).unwrap();
    if let Some(offered) = offered {
        message.add_attribute(&PasswordAlgorithms::new(offered)).unwrap();
    }
    if let Some(algorithm) = algorithm {
        message.add_attribute(&PasswordAlgorithm::new(algorithm)).unwrap();
    }
    let mut message = message.finish();
    signer(end, algorithm.unwrap_or(Value::MD5), hash).sign(&mut message);
    add_fingerprint(&mut message);
    message
}

fn signer(end: &End, algorithm: Value, hash: Hash) -> Signer {
    Signer::new(algorithm, hash, [&end.username, REALM, &end.password])
}

const OFFERED: [Value; 2] = [Value::SHA256, Value::MD5];

#[test]
fn each_algorithm_with_each_signature_is_taken_and_answered_in_kind() {
    let mut world = World::new();
    let table = [
        (None, Hash::Sha1),
        (None, Hash::Sha256),
        (Some(Value::MD5), Hash::Sha1),
        (Some(Value::MD5), Hash::Sha256),
        (Some(Value::SHA256), Hash::Sha1),
        (Some(Value::SHA256), Hash::Sha256),
    ];
    for (port, (algorithm, hash)) in table.into_iter().enumerate() {
        let end = world.end("call", "user", 1 + port as u16);
        let request = asking(&end, algorithm, hash, algorithm.map(|_| &OFFERED[..]));
        // The library finds no fault with it, the fingerprint included.
        assert!(Message::from_bytes(&request).is_ok());
        let sent = world.give(end.client, &request);
        let answer = Message::from_bytes(&sent[0].1).unwrap();
        assert!(answer.attribute::<XorRelayedAddress>().is_ok(), "{algorithm:?} {hash:?}");
        assert!(signer(&end, algorithm.unwrap_or(Value::MD5), hash).verify(&sent[0].1));
    }
    // What the library makes of both by itself.
    let end = world.end("call", "user", 50);
    let request = asking(&end, Some(Value::SHA256), Hash::Sha256, Some(&OFFERED));
    let checked = Message::from_bytes(&request).unwrap();
    checked.validate_integrity_with_key(&key(&end, IntegrityAlgorithm::Sha256)).unwrap();
}

#[test]
fn a_challenge_offers_both_and_its_nonce_says_so() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let challenge = world.challenge(&end);
    let answer = Message::from_bytes(&challenge).unwrap();
    assert_eq!(answer.attribute::<PasswordAlgorithms>().unwrap().algorithms(), OFFERED);
    assert!(answer.attribute::<Nonce>().unwrap().nonce().starts_with("obMatJos2AAAB"));
    // Who takes the bit away, so that the client may not miss what is missing, makes it another nonce.
    let nonce = end.nonce.replace("obMatJos2AAAB", "obMatJos2AAAA");
    let stale = world.allocate(&End { nonce, ..end.clone() });
    assert_eq!(stale.code, 438);
    assert!(stale.message().has_attribute(AttributeType::new(0x8002)));
    let bare = end.nonce.replace("obMatJos2AAAB", "");
    assert_eq!(world.allocate(&End { nonce: bare, ..end }).code, 438);
}

#[test]
fn what_was_not_offered_is_refused() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let table = [
        ("another offer came", Some(Value::MD5), Some(vec![Value::MD5])),
        ("in another order", Some(Value::MD5), Some(vec![Value::MD5, Value::SHA256])),
        ("no offer", Some(Value::SHA256), None),
        ("no choice", None, Some(OFFERED.to_vec())),
        ("twice", Some(Value::SHA256), Some(vec![Value::SHA256, Value::MD5, Value::MD5])),
    ];
    for (name, algorithm, offered) in table {
        let request = asking(&end, algorithm, Hash::Sha256, offered.as_deref());
        assert_eq!(world.code_of(&end, &request), 400, "{name}");
    }
    let mut unknown = Message::builder_request(ALLOCATE, MessageWriteVec::new());
    for (kind, value) in [
        (0x0006, end.username.as_bytes()),
        (0x0014, REALM.as_bytes()),
        (0x0015, end.nonce.as_bytes()),
        (0x8002, &[0, 2, 0, 0, 0, 1, 0, 0]),
        (0x001d, &[0, 9, 0, 0]),
    ] {
        unknown.add_attribute(&RawAttribute::new(AttributeType::new(kind), value)).unwrap();
    }
    let mut unknown = unknown.finish();
    signer(&end, Value::MD5, Hash::Sha1).sign(&mut unknown);
    assert_eq!(world.code_of(&end, &unknown), 400);
    // A key of the other algorithm than the one that it names.
    let mut other = asking(&end, Some(Value::MD5), Hash::Sha256, Some(&OFFERED));
    other.truncate(other.len() - 8 - 36);
    signer(&end, Value::SHA256, Hash::Sha256).sign(&mut other);
    assert_eq!(world.code_of(&end, &other), 401);
    assert_eq!(world.count("allocated"), 0);
}
