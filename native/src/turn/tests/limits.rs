//! What one user may have.

use super::*;

#[test]
fn a_thousand_allocations_by_one_user_meet_the_quota() {
    let mut world = World::new();
    let mut codes: Vec<u16> = Vec::new();
    for port in 1..=1000 {
        let end = world.end("call", "user", port);
        codes.push(world.allocate(&end).code);
    }
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 16);
    assert_eq!(codes.iter().filter(|code| **code == 486).count(), 984);
    assert_eq!((world.relays.open.len(), world.count("refused_quota")), (16, 984));
    // Others are not concerned, and what ends makes room.
    let other = world.end("call", "other", 2000);
    assert_eq!(world.allocate(&other).code, 0);
    let first = world.end("call", "user", 1);
    world.server.client_closed(first.client, &mut world.relays);
    assert_eq!(world.allocate(&first).code, 0);
}

#[test]
fn reservations_count() {
    use turn_client_proto::types::attribute::EvenPort;
    let mut world = World::with(Config { max_allocations: 3, ..config() });
    let pair = EvenPort::new(true);
    let (one, two) = (world.end("call", "user", 1), world.end("call", "user", 2));
    assert_eq!(world.ask(&one, ALLOCATE, &[&RequestedTransport::new(17), &pair]).code, 0);
    assert_eq!(world.ask(&two, ALLOCATE, &[&RequestedTransport::new(17), &pair]).code, 486);
    assert_eq!(world.allocate(&two).code, 0);
    world.pass(31);
    let three = world.end("call", "user", 3);
    assert_eq!(world.allocate(&three).code, 0, "what nobody came for counts no more");
}

#[test]
fn a_users_rate_holds_both_ways_and_over_all_allocations() {
    let rate = 1_000_000;
    let mut world = World::with(Config { max_rate: rate, ..config() });
    let (one, two) = (world.end("call", "user", 1), world.end("call", "user", 2));
    let peer = "198.51.100.9:5000";
    let payload = [7; 1000];
    let mut passed = 0;
    let relayed: Vec<_> = [&one, &two].map(|end| world.allocate(end).relayed()).into();
    for end in [&one, &two] {
        assert_eq!(world.permit(end, peer), 0);
    }
    for _ in 0..10 {
        for _ in 0..1000 {
            passed += world.send(&one, peer, &payload).len();
            passed += world.arrive(relayed[1], peer, &payload).len();
        }
        world.now.at += Duration::from_millis(100);
    }
    // One second's worth, and what may pass at once.
    let expected = rate + rate / 2;
    assert!((passed as u64 * 1000).abs_diff(expected) < rate / 5, "{passed}");
    assert_eq!(world.count("refused_rate"), 20_000 - passed as u64);
}

#[test]
fn permissions_and_channels_are_bounded() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    world.allocate(&end);
    let code = |world: &mut World, n: u16| world.permit(&end, &format!("198.51.{}.{}:1", n / 256, n % 256));
    assert!((0..256).all(|n| code(&mut world, n) == 0));
    assert_eq!(code(&mut world, 256), 508);
    assert_eq!(code(&mut world, 3), 0, "known ones are refreshed");
    for n in 0..256 {
        assert_eq!(world.bind(&end, 0x4000 + n, &format!("198.51.0.1:{}", n + 1)), 0);
    }
    assert_eq!(world.bind(&end, 0x5000, "198.51.0.1:999"), 508);
    world.pass(300);
    assert_eq!(code(&mut world, 256), 0);
}

#[test]
fn a_calls_candidates_are_bounded() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    world.allocate(&end);
    for n in 0..100_u64 {
        let candidate = SocketAddr::new("10.0.0.1".parse().unwrap(), 5000 + n as u16);
        world.server.permit("call", "user", candidate, world.now);
        world.now.at += Duration::from_millis(1);
    }
    assert_eq!(world.permit(&end, "10.0.0.1:5000"), 0);
    let reached = (5000..5100).filter(|port| !world.send(&end, &format!("10.0.0.1:{port}"), b"x").is_empty());
    assert_eq!(reached.collect::<Vec<u16>>(), (5036..5100).collect::<Vec<u16>>());
}
