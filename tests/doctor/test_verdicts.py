"""What is said of what was found: tables, without a network."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from plait.doctor import certificate, clock, codecs, ipv6, mdns, mirror, nat, relay, servers
from plait.doctor.finding import Finding, worst
from plait.doctor.hub import credential
from plait.rtc.stun import Answer

OWN = ("192.168.1.5", 5000)
A, A2, B, B2 = ("192.0.2.1", 3478), ("192.0.2.1", 3479), ("192.0.2.2", 3478), ("192.0.2.2", 3479)
OUT, OUT2, OUT3 = ("203.0.113.7", 40000), ("203.0.113.7", 40001), ("203.0.113.7", 40002)


@pytest.mark.parametrize(
    ("seen", "mapping"),
    [
        ([], "unknown"),
        ([(A, OWN)], "none"),
        ([(A, OWN), (B, OWN)], "none"),
        ([(A, OUT)], "unknown"),
        ([(A, OUT), (B, OUT)], "independent"),
        ([(A, OUT), (A2, OUT)], "independent"),
        ([(A, OUT), (A2, OUT2)], "port"),
        ([(A, OUT), (A2, OUT2), (B, OUT3)], "port"),
        ([(A, OUT), (A2, OUT), (B, OUT2)], "address"),
        ([(A, OUT), (B, OUT2)], "dependent"),
        ([(A, OWN), (B, OUT)], "dependent"),
    ],
)
def test_how_a_nat_maps(seen, mapping):
    assert nat.mapping({OWN}, [nat.Seen(*each) for each in seen]) == mapping


@pytest.mark.parametrize(
    ("mapping", "verdict", "said"),
    [
        ("none", "pass", "none: 203.0.113.7"),
        ("independent", "pass", "cone"),
        ("port", "warn", "symmetric: outside it is another port for each address and port"),
        ("address", "warn", "symmetric"),
        ("dependent", "warn", "symmetric"),
        ("unknown", "skip", "which kind"),
    ],
)
def test_what_a_nat_means(mapping, verdict, said):
    found = nat.verdict(mapping, "unknown", [nat.Seen(A, OUT)], asked=2)
    assert (found.verdict, said in found.said) == (verdict, True), found


def test_a_symmetric_nat_needs_turn_where_there_is_none():
    seen = [nat.Seen(A, OUT), nat.Seen(B, OUT2)]
    without = nat.verdict("dependent", "unknown", seen, asked=2)
    with_turn = nat.verdict("dependent", "unknown", seen, asked=2, relayed=True)
    assert "start a TURN server" in without.advice
    assert "start a TURN server" not in with_turn.advice
    assert "relayed by TURN" in with_turn.said


def test_who_gets_in_is_said():
    said = nat.verdict("independent", "port", [nat.Seen(A, OUT)], asked=2).said
    assert "lets in only what was sent to" in said


@pytest.mark.parametrize(
    ("outside", "came_from", "mapping"),
    [
        ({OUT}, {OUT}, "independent"),
        ({OUT}, {OUT2}, "port"),
        ({OUT, ("203.0.113.8", 1)}, {("203.0.113.8", 1)}, "independent"),
        ({OUT}, {("192.168.1.5", 5000)}, "unknown"),
        ({OUT}, set(), "unknown"),
        (set(), {OUT}, "unknown"),
    ],
)
def test_a_nat_in_the_mirror_of_a_relay(outside, came_from, mapping):
    assert mirror.judge(outside, came_from) == mapping


NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("ahead", "verdict", "said"),
    [
        (0.0, "pass", "within"),
        (-2.0, "pass", "within"),
        (3.0, "warn", "3 s ahead of the hub's"),
        (-30.0, "warn", "30 s behind the hub's"),
        (-7200.0, "fail", "2 hours behind"),
        (5 * 86_400.0, "fail", "5 days ahead of"),
    ],
)
def test_clocks(ahead, verdict, said):
    found = clock.verdict(NOW + timedelta(seconds=ahead), NOW, within=timedelta(milliseconds=5))
    assert (found.verdict, said in found.said) == (verdict, True), found
    assert bool(found.advice) == (verdict != "pass")


def test_a_clock_is_not_judged_by_more_than_is_known():
    """The Date header of HTTP counts whole seconds."""
    assert clock.verdict(NOW + timedelta(seconds=2.9), NOW, within=timedelta(seconds=1)).verdict == "pass"
    assert clock.verdict(NOW, None, within=timedelta()).verdict == "skip"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (10, "expired"),
        (9, "not valid yet"),
        (62, "not for hub.example"),
        (18, "nobody whom this machine trusts"),
        (20, "nobody whom this machine trusts"),
        (23, "not believed"),
    ],
)
def test_certificates_that_are_refused(code, word):
    shown = certificate.Certificate(refused=code, why="why")
    found = certificate.verdict(shown, "hub.example", now=0)
    assert (found.verdict, word in found.said, bool(found.advice)) == ("fail", True, True), found


@pytest.mark.parametrize(("days", "verdict"), [(90, "pass"), (14.1, "pass"), (13.9, "warn")])
def test_certificates_that_run_out(days, verdict):
    shown = certificate.Certificate(expires=days * 86_400, protocol="TLSv1.3")
    assert certificate.verdict(shown, "hub.example", now=0).verdict == verdict


@pytest.mark.parametrize(
    ("status", "given", "verdict"),
    [
        (200, True, "pass"),
        (401, False, "skip"),
        (401, True, "fail"),
        (403, True, "fail"),
        (404, True, "warn"),
    ],
)
def test_what_the_hub_thinks_of_a_token(status, given, verdict):
    assert credential(status, given).verdict == verdict


def reached(*answered, asked=(A, B)):
    found = servers.Reached(asked={each: f"stun:{each[0]}:{each[1]}" for each in asked})
    found.answers = {each: Answer(each, each, OUT, None, 0.02) for each in answered}
    return found


@pytest.mark.parametrize(
    ("answered", "relayed", "verdicts"),
    [
        ((A, B), False, ["pass", "pass"]),
        ((A,), False, ["pass", "warn"]),
        ((), True, ["warn", "warn"]),
        ((), False, ["fail", "fail"]),
    ],
)
def test_servers_over_udp(answered, relayed, verdicts):
    found = servers.verdict(reached(*answered), relayed=relayed)
    assert [each.verdict for each in found] == verdicts
    assert all(each.advice for each in found if each.verdict != "pass")


def test_ipv6_servers_need_not_answer_where_ipv4_ones_do():
    six = ("2001:db8::1", 3478)
    found = servers.verdict(reached(A, asked=(A, six)), relayed=False)
    assert [each.verdict for each in found] == ["pass", "pass"]


def test_names_that_lead_nowhere():
    found = reached(A)
    found.unresolved = ["stun:nowhere.invalid"]
    told = servers.verdict(found, relayed=False)[-1]
    assert (told.name, told.verdict) == ("stun:nowhere.invalid", "warn")


def tried(transport="udp", **members):
    return relay.Relayed(f"turn:{transport}", transport, **members)


@pytest.mark.parametrize(
    ("one", "verdict", "said"),
    [
        (tried(address="a 1", allocated=0.1, round_trip=0.02), "pass", "20 ms there and back"),
        (tried(address="a 1", allocated=0.1), "fail", "nothing passes between two"),
        (tried(code=701, why="no answer"), "fail", "cannot be reached"),
        (tried("tls", code=701, why="invalid peer certificate: UnknownIssuer"), "fail", "certificate"),
        (tried(code=401, why="Unauthorized"), "fail", "gives no relay: 401"),
        (tried(code=486, why="Quota"), "fail", "486"),
        (tried(), "fail", "no answer"),
    ],
)
def test_turn(one, verdict, said):
    (found,) = relay.verdict([one])
    assert (found.verdict, said in found.said) == (verdict, True), found
    assert bool(found.advice) == (verdict != "pass")


def test_a_turn_server_that_fails_is_only_warned_of_where_another_works():
    found = relay.verdict([tried(code=701), tried("tcp", address="a 1", round_trip=0.01)])
    assert [each.verdict for each in found] == ["warn", "pass"]
    assert relay.verdict([])[0].verdict == "warn"


@pytest.mark.parametrize(
    ("own", "answered", "asked", "hub", "verdict"),
    [
        ("", False, False, [], "warn"),
        ("fd00::2", False, True, [], "warn"),
        ("fd00::2", True, True, [], "pass"),
        ("2a02::2", False, True, [], "warn"),
        ("2a02::2", False, False, [], "pass"),
        ("2a02::2", False, False, ["2a02::1"], "pass"),
    ],
)
def test_ipv6(own, answered, asked, hub, verdict):
    assert ipv6.verdict(own, answered=answered, asked=asked, hub=hub).verdict == verdict


def test_multicast():
    assert mdns.verdict(mdns.Heard(own=True, others=3)).verdict == "pass"
    silent = mdns.verdict(mdns.Heard(why="no such device"))
    assert (silent.verdict, "no such device" in silent.said) == ("warn", True)


def test_codecs():
    whole = codecs.Codecs(codecs.CARRIED, ("libx264", "libopus"))
    assert [each.verdict for each in codecs.verdict(whole)] == ["pass", "pass"]
    assert codecs.verdict(codecs.Codecs(("VP8", "opus"), None))[0].verdict == "fail"
    assert codecs.verdict(codecs.Codecs(codecs.CARRIED, None))[1].verdict == "skip"
    assert codecs.verdict(codecs.Codecs(codecs.CARRIED, ("libopus",)))[1].verdict == "warn"


def test_the_worst_counts():
    of = [Finding(name="", verdict=each, said="") for each in ("skip", "pass", "warn")]
    assert worst(of) == "warn"
    assert worst([*of, Finding(name="", verdict="fail", said="")]) == "fail"
    assert worst([]) == "pass"
