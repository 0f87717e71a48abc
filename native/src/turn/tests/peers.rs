//! Who may be a peer, and how datagrams reach it.

use super::super::outbox::Target;
use super::*;

const FORBIDDEN: [&str; 22] = [
    "10.0.0.1:5000",
    "127.0.0.1:5000",
    "127.9.9.9:5000",
    "0.0.0.0:5000",
    "169.254.169.254:80",
    "192.168.7.1:5000",
    "192.168.1.1:53",
    "172.16.0.1:5000",
    "100.64.0.1:5000",
    "224.0.0.251:5353",
    "255.255.255.255:67",
    // The hub's own address, its own ports.
    "203.0.113.1:3478",
    "203.0.113.1:9",
    "[::]:5000",
    "[::1]:5000",
    "[fe80::1]:5000",
    "[fd00::1]:5000",
    "[ff02::1]:5000",
    "[::ffff:8.8.8.8]:5000",
    "[::ffff:127.0.0.1]:5000",
    "[64:ff9b::10.0.0.1]:5000",
    "[2002:a00:1::1]:5000",
];

/// Somebody with relays of both families.
fn both(world: &mut World, call: &str, user: &str, port: u16) -> End {
    use turn_client_proto::types::AddressFamily;
    use turn_client_proto::types::attribute::AdditionalAddressFamily;
    let end = world.end(call, user, port);
    let additional = AdditionalAddressFamily::new(AddressFamily::IPV6);
    let answer = world.ask(&end, ALLOCATE, &[&RequestedTransport::new(17), &additional]);
    assert_eq!(answer.code, 0);
    end
}

#[test]
fn nothing_is_relayed_to_a_forbidden_peer() {
    let mut world = World::new();
    let end = both(&mut world, "call", "user", 1);
    for (number, peer) in FORBIDDEN.iter().enumerate() {
        assert_eq!(world.permit(&end, peer), 403, "{peer}");
        assert_eq!(world.bind(&end, 0x4000 + number as u16, peer), 403, "{peer}");
        assert!(world.send(&end, peer, b"x").is_empty(), "{peer}");
        assert!(world.through(&end, 0x4000 + number as u16, b"x").is_empty(), "{peer}");
    }
    assert_eq!(world.count("relayed_datagrams_in"), 0);
    assert_eq!(world.count("refused_peers"), 2 * FORBIDDEN.len() as u64);
}

#[test]
fn one_forbidden_peer_spoils_the_whole_request() {
    let mut world = World::new();
    let end = both(&mut world, "call", "user", 1);
    let request = signed_with(&end, CREATE_PERMISSION, |id| {
        let peers = ["198.51.100.9:1", "10.0.0.1:1"];
        let peers = peers.map(|peer| -> Box<dyn AttributeWrite> {
            Box::new(XorPeerAddress::new(peer.parse().unwrap(), id))
        });
        peers.into()
    });
    assert_eq!(world.code_of(&end, &request), 403);
    assert!(world.send(&end, "198.51.100.9:1", b"x").is_empty());
}

#[test]
fn a_public_peer_is_reached_both_ways() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let relayed = world.allocate(&end).relayed();
    // Not before there is a permission.
    assert!(world.send(&end, "198.51.100.9:5000", b"x").is_empty());
    assert!(world.arrive(relayed, "198.51.100.9:5000", b"x").is_empty());
    assert_eq!(world.permit(&end, "198.51.100.9:0"), 0);
    let sent = world.send(&end, "198.51.100.9:5000", b"hello");
    let peer = "198.51.100.9:5000".parse().unwrap();
    assert!(
        matches!(&sent[..], [(Target::Peer { peer: to, .. }, bytes)] if *to == peer && bytes == b"hello")
    );
    // Any port of a permitted address may answer, by an indication.
    let got = world.arrive(relayed, "198.51.100.9:6000", b"hey");
    let message = Message::from_bytes(&got[0].1).unwrap();
    assert_eq!(message.attribute::<Data<'_>>().unwrap().data(), b"hey");
    let from = message.attribute::<XorPeerAddress>().unwrap().addr(message.transaction_id());
    assert_eq!(from.to_string(), "198.51.100.9:6000");
}

#[test]
fn a_channel_carries_both_ways_and_streams_are_padded() {
    let mut world = World::new();
    for via in [Via::Udp(0), Via::Stream(7)] {
        let mut end = world.end("call", "user", 1);
        end.client.via = via;
        let relayed = world.allocate(&end).relayed();
        assert_eq!(world.bind(&end, 0x4001, "198.51.100.9:5000"), 0);
        let sent = world.through(&end, 0x4001, b"hello");
        assert_eq!(sent[0].1, b"hello");
        let got = world.arrive(relayed, "198.51.100.9:5000", b"there");
        let padding: &[u8] = if via == Via::Udp(0) { b"" } else { b"\0\0\0" };
        assert_eq!(got[0].1, [b"\x40\x01\x00\x05there", padding].concat());
        // Padding of what comes is not relayed.
        let padded = world.give(end.client, b"\x40\x01\x00\x02hi\0\0");
        assert_eq!(padded[0].1, b"hi");
    }
}

#[test]
fn the_other_party_is_reached_inside_and_nobody_else() {
    let mut world = World::new();
    let (one, two, stranger) =
        (world.end("call", "one", 1), world.end("call", "two", 2), world.end("other", "three", 3));
    let at_one = world.allocate(&one).relayed().to_string();
    let at_two = world.allocate(&two).relayed().to_string();
    let at_stranger = world.allocate(&stranger).relayed().to_string();
    assert_eq!(world.permit(&one, &at_two), 0);
    assert!(world.send(&one, &at_two, b"x").is_empty(), "no permission of the other one");
    assert_eq!(world.bind(&two, 0x4000, &at_one), 0);
    let got = world.send(&one, &at_two, b"in");
    assert_eq!(got, [(Target::Client(two.client), b"\x40\x00\x00\x02in".to_vec())]);
    let got = world.through(&two, 0x4000, b"back");
    assert!(
        matches!(&got[..], [(Target::Client(to), bytes)] if *to == one.client && bytes.ends_with(b"back"))
    );
    assert_eq!(world.count("inside"), 3);
    // The permission is for the address; the stranger's port on it is not this call's.
    assert!(world.send(&one, &at_stranger, b"x").is_empty());
    assert_eq!(world.permit(&stranger, &at_one), 403);
    // Nor does what the stranger's relay would send get in by its socket.
    assert!(world.arrive(at_one.parse().unwrap(), &at_stranger, b"x").is_empty());
    // A relay that is gone leads nowhere, though its channel is there still.
    world.server.client_closed(one.client, &mut world.relays);
    assert!(world.through(&two, 0x4000, b"back").is_empty());
}

#[test]
fn a_signaled_candidate_is_for_the_other_party_and_for_its_port() {
    let mut world = World::new();
    let (one, two) = (world.end("call", "one", 1), world.end("call", "two", 2));
    let relayed = world.allocate(&one).relayed();
    world.allocate(&two);
    world.server.permit("call", "one", "192.168.1.5:5000".parse().unwrap(), world.now);
    assert_eq!(world.permit(&one, "192.168.1.5:5000"), 0);
    assert_eq!(world.send(&one, "192.168.1.5:5000", b"x").len(), 1);
    assert_eq!(world.arrive(relayed, "192.168.1.5:5000", b"x").len(), 1);
    assert!(world.send(&one, "192.168.1.5:5001", b"x").is_empty());
    assert!(world.arrive(relayed, "192.168.1.5:53", b"x").is_empty());
    assert_eq!(world.bind(&one, 0x4000, "192.168.1.5:53"), 0);
    assert!(world.through(&one, 0x4000, b"x").is_empty());
    // Who signaled it may not send there.
    assert_eq!(world.permit(&two, "192.168.1.5:5000"), 403);
}

#[test]
fn some_candidates_are_never_taken() {
    let mut world = World::new();
    let one = world.end("call", "one", 1);
    world.allocate(&one);
    let wrong =
        ["127.0.0.1:5000", "169.254.1.1:5000", "192.168.1.5:53", "203.0.113.1:3478", "224.0.0.1:5000"];
    for candidate in wrong {
        world.server.permit("call", "one", candidate.parse().unwrap(), world.now);
        assert_eq!(world.permit(&one, candidate), 403, "{candidate}");
    }
    assert_eq!(world.count("refused_candidates"), 5);
    // A device on the hub's own machine signals its address.
    world.server.permit("call", "one", "[::ffff:192.168.7.1]:5000".parse().unwrap(), world.now);
    assert_eq!(world.permit(&one, "192.168.7.1:5000"), 0);
    assert_eq!(world.send(&one, "192.168.7.1:5000", b"x").len(), 1);
}

#[test]
fn the_hubs_media_port_and_allowed_subnets_are_open() {
    let mut world = World::allowing(&["10.1.0.0/16"]);
    let one = world.end("call", "one", 1);
    world.allocate(&one);
    assert_eq!(world.permit(&one, "203.0.113.1:3478"), 403);
    world.server.set_media(true);
    assert_eq!(world.permit(&one, "203.0.113.1:3478"), 0);
    assert_eq!(world.send(&one, "203.0.113.1:3478", b"x").len(), 1);
    assert!(world.send(&one, "203.0.113.1:7000", b"x").is_empty());
    assert_eq!(world.permit(&one, "192.168.7.1:3478"), 403);
    world.server.set_media(false);
    assert!(world.send(&one, "203.0.113.1:3478", b"x").is_empty());
    assert_eq!(world.permit(&one, "10.1.2.3:9"), 0);
    assert_eq!(world.send(&one, "10.1.2.3:9", b"x").len(), 1);
    assert_eq!(world.permit(&one, "10.2.0.1:9"), 403);
}
