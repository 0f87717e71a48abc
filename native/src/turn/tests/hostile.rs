//! Datagrams of those who mean no good.

use stun_proto::types::attribute::RawAttribute;
use stun_proto::types::message::{BINDING, MessageWriteVec};

use super::*;

/// Splitmix64: the same datagrams each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.roll() % most as u64) as usize
    }
}

fn binding() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

#[test]
fn a_binding_is_answered_and_is_hardly_longer() {
    let mut world = World::new();
    let end = world.end("call", "user", 4242);
    let sent = world.give(end.client, &binding());
    let message = Message::from_bytes(&sent[0].1).unwrap();
    let mapped = message.attribute::<stun_proto::types::attribute::XorMappedAddress>().unwrap();
    assert_eq!(mapped.addr(message.transaction_id()), end.client.address);
    assert_eq!(sent[0].1.len(), 32);
}

#[test]
fn change_request_is_answered_from_the_other_port() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    for (flags, via) in [(0, Via::Udp(0)), (2, Via::Udp(1)), (4, Via::Udp(0)), (6, Via::Udp(0))] {
        let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
        request.add_attribute(&RawAttribute::new(3.into(), &[0, 0, 0, flags])).unwrap();
        let sent = world.give(end.client, &request.finish());
        let [(Target::Client(from), bytes)] = &sent[..] else { panic!("one answer") };
        assert_eq!(from.via, via, "{flags}");
        let message = Message::from_bytes(bytes).unwrap();
        let other = message.raw_attribute(0x802c.into()).unwrap();
        assert_eq!(&other.value[..], [0, 1, 0x0d, 0x97, 203, 0, 113, 1]);
    }
}

#[test]
fn unknown_attributes_are_named() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let mut request = Message::builder_request(BINDING, MessageWriteVec::new());
    request.add_attribute(&RawAttribute::new(0x7f.into(), b"1234")).unwrap();
    assert_eq!(world.code_of(&end, &request.finish()), 420);
}

/// Many kinds of good datagrams.
fn good(world: &World, end: &End) -> Vec<Vec<u8>> {
    let peer = |id| XorPeerAddress::new("198.51.100.9:5000".parse().unwrap(), id);
    let mut send = Message::builder_indication(SEND, MessageWriteVec::new());
    let to = peer(send.transaction_id());
    send.add_attribute(&to).unwrap();
    send.add_attribute(&Data::new(b"payload")).unwrap();
    let transport = RequestedTransport::new(17);
    vec![
        binding(),
        signed(end, ALLOCATE, &[&transport]),
        signed(&world.end("call", "user", 9), ALLOCATE, &[&transport]),
        signed_with(end, CREATE_PERMISSION, |id| vec![Box::new(peer(id))]),
        signed_with(end, CHANNEL_BIND, |id| vec![Box::new(ChannelNumber::new(0x4000)), Box::new(peer(id))]),
        send.finish(),
        b"\x40\x00\x00\x05hello\0\0\0".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(),
        vec![0; 600],
    ]
}

#[test]
fn mutated_datagrams_neither_break_nor_swell() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    world.allocate(&end);
    assert_eq!(world.bind(&end, 0x4000, "198.51.100.9:5000"), 0);
    let samples = good(&world, &end);
    let mut dice = Dice(1);
    let strangers: Vec<Client> = (0..4).map(|n| world.end("call", "user", 10 + n).client).collect();
    for round in 0..60_000 {
        let mut datagram = samples[dice.below(samples.len())].clone();
        for _ in 0..dice.below(6) {
            let at = dice.below(datagram.len());
            match dice.below(4) {
                0 => datagram[at] ^= 1 << dice.below(8),
                1 => datagram[at] = dice.roll() as u8,
                2 => datagram.truncate(at.max(1)),
                _ => datagram.insert(at, dice.roll() as u8),
            }
        }
        // Mostly with a length that is right, so that they get further.
        if datagram.len() >= 20 && datagram[0] < 0x40 && dice.below(4) > 0 {
            let padded = datagram.len().next_multiple_of(4);
            datagram.resize(padded, 0);
            let length = (padded - 20) as u16;
            datagram[2..4].copy_from_slice(&length.to_be_bytes());
        }
        let from = if round % 2 == 0 { end.client } else { strangers[dice.below(strangers.len())] };
        let sent = world.give(from, &datagram);
        assert!(sent.len() <= 1);
        for (target, bytes) in sent {
            // A challenge at most: with the headers of IPv4 and UDP, less than double. Who is known gets words.
            let bound = 2 * (datagram.len() + 28);
            let stranger = target != Target::Client(end.client);
            assert!(!stranger || bytes.len() + 28 <= bound, "{datagram:02x?}");
            if let Target::Peer { peer, .. } = target {
                assert_eq!(peer.ip().to_string(), "198.51.100.9");
            }
        }
        // What some of them were allowed to do is undone, so that the state stays what it was.
        if round % 1000 == 0 {
            world.pass(1);
            assert!(world.relays.open.len() <= 3);
        }
    }
}

#[test]
fn challenges_to_one_address_are_few() {
    let mut world = World::new();
    let mut request = Message::builder_request(ALLOCATE, MessageWriteVec::new());
    request.add_attribute(&RequestedTransport::new(17)).unwrap();
    let request = request.finish();
    let answered = (0..1000).filter(|port| {
        let end = world.end("call", "user", *port);
        !world.give(end.client, &request).is_empty()
    });
    assert_eq!(answered.count(), 200);
    world.now.at += Duration::from_secs(1);
    let end = world.end("call", "user", 1);
    let answered = (0..1000).filter(|_| !world.give(end.client, &request).is_empty()).count();
    assert_eq!(answered, 100);
    assert_eq!(world.count("refused_challenges"), 1700);
}
