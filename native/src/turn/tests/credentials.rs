//! Who gets in.

use super::super::credentials::Bearer;
use super::*;

#[test]
fn usernames_are_taken_apart() {
    let good = Bearer::parse("12:call%3A1:user%3Aowner:urn%3Adev%3Acam").unwrap();
    assert_eq!(good, Bearer { expires: 12, call: "call%3A1", user: "user%3Aowner" });
    let long = format!("12:{}:b:c", "a".repeat(600));
    for wrong in ["", "12", "12:a:b", "12:a:b:c:d", "x:a:b:c", "-1:a:b:c", "12::b:c", "12:a::c", &long] {
        assert_eq!(Bearer::parse(wrong), None, "{wrong}");
    }
}

#[test]
fn passwords_are_coturns() {
    // printf '1700000000:call:user:thing' | openssl dgst -sha1 -hmac secret -binary | base64
    assert_eq!(credentials().password("1700000000:call:user:thing"), "2Ldg8sHBjcEcMHHINPmm3NXXAMI=");
}

#[test]
fn without_credentials_there_is_a_challenge() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let challenge = world.challenge(&end);
    let answer = Message::from_bytes(&challenge).unwrap();
    assert_eq!(answer.attribute::<ErrorCode>().unwrap().code(), 401);
    assert_eq!(answer.attribute::<Realm>().unwrap().realm(), REALM);
    let nonce = answer.attribute::<Nonce>().unwrap().nonce().to_owned();
    assert_eq!(world.allocate(&End { nonce, ..end }).code, 0);
}

#[test]
fn expired_forged_and_foreign_credentials_get_nothing() {
    let mut world = World::new();
    let password = |end: End, password: &str| End { password: password.to_owned(), ..end };
    let foreign = Credentials::new(b"another secret", REALM).unwrap();
    let good = world.end("call", "user", 1);
    let renamed = End { username: good.username.replace("user", "root"), ..good.clone() };
    let prolonged = End { username: good.username.replacen('1', "2", 1), ..good.clone() };
    let table = [
        ("expired", world.named(&format!("{START}:call:user:thing"), 1)),
        ("long expired", world.named("12:call:user:thing", 1)),
        ("no expiry", world.named("call:user:thing", 1)),
        ("never", world.named("inf:call:user:thing", 1)),
        ("no password", password(good.clone(), "")),
        ("wrong password", password(good.clone(), "guess")),
        ("another hub's", password(good.clone(), &foreign.password(&good.username))),
        ("another user's name", renamed),
        ("prolonged", prolonged),
    ];
    for (name, end) in table {
        assert_eq!(world.allocate(&end).code, 401, "{name}");
    }
    assert_eq!(world.count("allocated"), 0);
    assert_eq!((world.count("refused_expired"), world.count("refused_credentials")), (2, 7));
}

#[test]
fn a_nonce_is_for_one_client_and_half_an_hour() {
    let mut world = World::new();
    let end = world.end("call", "user", 1);
    let other = world.end("call", "user", 2);
    let table = [
        ("another client's", other.nonce.clone()),
        ("made up", "obMatJos2AAAA".to_owned()),
        ("empty", String::new()),
        ("too long", "A".repeat(700)),
        ("cut", end.nonce[..10].to_owned()),
        ("changed", format!("B{}", &end.nonce[1..])),
    ];
    for (name, nonce) in table {
        assert_eq!(world.allocate(&End { nonce, ..end.clone() }).code, 438, "{name}");
    }
    world.pass(1799);
    assert_eq!(world.allocate(&end).code, 0);
    world.pass(1);
    let answer = world.allocate(&end);
    assert_eq!(answer.code, 438);
    let nonce = answer.message().attribute::<Nonce>().unwrap().nonce().to_owned();
    assert_ne!(world.allocate(&End { nonce, ..end }).code, 438);
}

#[test]
fn what_lives_lives_on_past_its_credentials() {
    use turn_client_proto::types::message::REFRESH;
    let mut world = World::new();
    let end = world.named(&format!("{}:call:user:thing", START + 60), 1);
    assert_eq!(world.allocate(&end).code, 0);
    world.pass(100);
    assert_eq!(world.ask(&end, REFRESH, &[]).code, 0);
    assert_eq!(world.permit(&end, "198.51.100.9:5000"), 0);
    let late = world.named(&end.username, 2);
    assert_eq!(world.allocate(&late).code, 401);
    // Until the hub says that the call goes on.
    world.server.keep("call", world.now.unix + 60);
    assert_eq!(world.allocate(&late).code, 0);
    world.pass(60);
    let later = world.named(&end.username, 3);
    assert_eq!(world.allocate(&later).code, 401);
}

#[test]
fn a_revoked_call_is_over_at_once() {
    let mut world = World::new();
    let (one, two, other) =
        (world.end("call", "one", 1), world.end("call", "two", 2), world.end("other", "two", 3));
    for end in [&one, &two, &other] {
        assert_eq!(world.allocate(end).code, 0);
    }
    world.server.revoke("call", world.now, &mut world.relays);
    assert_eq!(world.count("allocations"), 1);
    assert_eq!(world.allocate(&one).code, 401);
    assert_eq!(world.permit(&other, "198.51.100.9:5000"), 0);
    // Remembered while its credentials could last, without allocations.
    world.pass(3000);
    assert_eq!(world.allocate(&world.named(&one.username, 4).clone()).code, 401);
}
