//! Allocations from their beginning to their end.

use stun_proto::types::attribute::{AttributeStaticType, RawAttribute};
use turn_client_proto::types::AddressFamily;
use turn_client_proto::types::attribute::{
    AdditionalAddressFamily, AddressErrorCode, EvenPort, Lifetime, RequestedAddressFamily, ReservationToken,
};
use turn_client_proto::types::message::REFRESH;

use super::*;

const PEER: &str = "198.51.100.9:5000";

#[test]
fn an_allocation_is_told_again_where_its_answer_was_lost() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let request = signed(&end, ALLOCATE, &[&RequestedTransport::new(17)]);
    let first = world.give(end.client, &request);
    assert_eq!(world.give(end.client, &request), first);
    assert_eq!(world.relays.open.len(), 1);
    // Another request is a mistake, and so is another user's on the same allocation.
    assert_eq!(world.allocate(&end).code, 437);
    let other = world.end("call", "other", 1);
    assert_eq!(world.permit(&other, PEER), 441);
    let nobody = world.end("call", "user", 2);
    assert_eq!(world.permit(&nobody, PEER), 437);
}

#[test]
fn what_is_not_refreshed_ends() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let relayed = world.allocate(&end).relayed();
    assert_eq!(world.bind(&end, 0x4000, PEER), 0);
    world.pass(299);
    assert_eq!(world.through(&end, 0x4000, b"x").len(), 1);
    world.pass(1);
    assert!(world.through(&end, 0x4000, b"x").is_empty(), "the permission is over");
    assert!(world.arrive(relayed, PEER, b"x").is_empty());
    assert_eq!(world.permit(&end, PEER), 0);
    assert_eq!(world.through(&end, 0x4000, b"x").len(), 1, "the channel was not");
    assert_eq!(world.ask(&end, REFRESH, &[]).code, 0);
    world.pass(299);
    assert_eq!(world.permit(&end, PEER), 0);
    world.pass(2);
    assert!(world.through(&end, 0x4000, b"x").is_empty(), "the channel is over");
    assert_eq!(world.send(&end, PEER, b"x").len(), 1);
    world.pass(300);
    assert!(world.send(&end, PEER, b"x").is_empty());
    assert!(world.relays.open.is_empty());
    assert_eq!((world.count("allocations"), world.count("users"), world.count("calls")), (0, 0, 0));
}

#[test]
fn a_refresh_with_zero_ends_it_at_once() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    world.allocate(&end);
    let answer = world.ask(&end, REFRESH, &[&Lifetime::new(0)]);
    assert_eq!(answer.message().attribute::<Lifetime>().unwrap().seconds(), 0);
    assert!(world.relays.open.is_empty());
    assert_eq!(world.ask(&end, REFRESH, &[]).code, 437);
    assert_eq!(world.allocate(&end).code, 0);
}

#[test]
fn lifetimes_are_bounded() {
    for (most, asked, granted) in [(600, 10, 600), (600, 9000, 600), (3600, 1800, 1800), (60, 600, 60)] {
        let mut world = World::with(Config { max_lifetime: most, ..config() });
        let end = world.end("call", "user", 1);
        let answer = world.ask(&end, ALLOCATE, &[&RequestedTransport::new(17), &Lifetime::new(asked)]);
        assert_eq!(answer.message().attribute::<Lifetime>().unwrap().seconds(), granted);
    }
}

#[test]
fn channels_stay_with_their_peers() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    world.allocate(&end);
    assert_eq!(world.bind(&end, 0x4000, PEER), 0);
    assert_eq!(world.bind(&end, 0x4000, PEER), 0);
    assert_eq!(world.bind(&end, 0x4000, "198.51.100.9:5001"), 400);
    assert_eq!(world.bind(&end, 0x4001, PEER), 400);
    for number in [0, 0x3fff, 0x7fff, 0xffff] {
        assert_eq!(world.bind(&end, number, "198.51.100.9:5002"), 400, "{number:#x}");
    }
    world.pass(299);
    world.ask(&end, REFRESH, &[]);
    world.pass(301);
    assert_eq!(world.bind(&end, 0x4001, PEER), 0, "free again");
}

#[test]
fn families_are_kept_apart() {
    let mut world = World::new();
    let transport = RequestedTransport::new(17);
    let ipv6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    let six = world.end("call", "six", 1);
    let relayed = world.ask(&six, ALLOCATE, &[&transport, &ipv6]).relayed();
    assert!(relayed.is_ipv6());
    assert_eq!(world.permit(&six, PEER), 443);
    assert_eq!(world.permit(&six, "[2001:db8::9]:5000"), 0);
    let both = world.end("call", "both", 2);
    let additional = AdditionalAddressFamily::new(AddressFamily::IPV6);
    assert_eq!(world.ask(&both, ALLOCATE, &[&transport, &additional]).code, 0);
    assert_eq!((world.permit(&both, PEER), world.permit(&both, "[2001:db8::9]:5000")), (0, 0));
    assert_eq!(world.ask(&both, REFRESH, &[&Lifetime::new(0), &ipv6]).code, 0);
    assert_eq!((world.permit(&both, PEER), world.permit(&both, "[2001:db8::9]:5000")), (0, 443));
    assert_eq!(world.ask(&both, REFRESH, &[&ipv6]).code, 443);
    // What is missing of two is told; alone it is an error.
    world.relays.no_ipv6 = true;
    let half = world.end("call", "half", 3);
    let answer = world.ask(&half, ALLOCATE, &[&transport, &additional]);
    assert_eq!(answer.message().attribute::<AddressErrorCode>().unwrap().error().code(), 440);
    assert!(answer.relayed().is_ipv4());
    let none = world.end("call", "none", 4);
    assert_eq!(world.ask(&none, ALLOCATE, &[&transport, &ipv6]).code, 440);
}

#[test]
fn an_even_port_comes_with_the_next_one() {
    let mut world = World::new();
    let transport = RequestedTransport::new(17);
    let end = world.end("call", "user", 1);
    let answer = world.ask(&end, ALLOCATE, &[&transport, &EvenPort::new(true)]);
    let (relayed, token) =
        (answer.relayed(), answer.message().attribute::<ReservationToken>().unwrap().token());
    assert_eq!(relayed.port() % 2, 0);
    let token = ReservationToken::new(token);
    let thief = world.end("call", "thief", 2);
    assert_eq!(world.ask(&thief, ALLOCATE, &[&transport, &token]).code, 508);
    let second = world.end("call", "user", 3);
    assert_eq!(world.ask(&second, ALLOCATE, &[&transport, &token, &EvenPort::new(false)]).code, 400);
    let next = world.ask(&second, ALLOCATE, &[&transport, &token]).relayed();
    assert_eq!(next.port(), relayed.port() + 1);
    let again = world.end("call", "user", 4);
    assert_eq!(world.ask(&again, ALLOCATE, &[&transport, &token]).code, 508);
    // What nobody comes for is closed.
    world.ask(&again, ALLOCATE, &[&transport, &EvenPort::new(true)]);
    assert_eq!(world.relays.open.len(), 4);
    world.pass(31);
    assert_eq!(world.relays.open.len(), 3);
}

#[test]
fn contradictions_are_bad_requests() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let (udp, tcp) = (RequestedTransport::new(17), RequestedTransport::new(6));
    let v4 = RequestedAddressFamily::new(AddressFamily::IPV4);
    let more = AdditionalAddressFamily::new(AddressFamily::IPV6);
    let more4 = RawAttribute::new(AdditionalAddressFamily::TYPE, &[1, 0, 0, 0]);
    let neither = RawAttribute::new(RequestedAddressFamily::TYPE, &[3, 0, 0, 0]);
    let (pair, token) = (EvenPort::new(true), ReservationToken::new(7));
    let table: [(u16, &[&dyn AttributeWrite]); 10] = [
        (440, &[&udp, &neither]),
        (400, &[]),
        (442, &[&tcp]),
        (400, &[&udp, &v4, &more]),
        (400, &[&udp, &more4]),
        (400, &[&udp, &more, &pair]),
        (400, &[&udp, &more, &token]),
        (400, &[&udp, &v4, &token]),
        (508, &[&udp, &token]),
        (420, &[&udp, &ChannelNumber::new(0x4000)]),
    ];
    for (code, attributes) in table {
        assert_eq!(world.ask(&end, ALLOCATE, attributes).code, code);
    }
    assert!(world.relays.open.is_empty());
}

#[test]
fn a_stream_that_ends_takes_its_allocation_along() {
    let mut world = World::new();
    let mut end = world.end("call", "user", 1);
    end.client.via = Via::Stream(3);
    world.allocate(&end);
    world.server.client_closed(end.client, &mut world.relays);
    assert!(world.relays.open.is_empty());
    world.server.client_closed(end.client, &mut world.relays);
}
