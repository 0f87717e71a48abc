"""One connection explained, from statistics as they come."""

from __future__ import annotations

import pytest

from plait.doctor.candidates import Candidate, rung_of
from plait.doctor.connection import explain
from plait.doctor.rungs import Failure

OURS = {
    "l": ("127.0.0.1", "host", {}),
    "h4": ("192.168.1.5", "host", {}),
    "h6": ("2001:db8::5", "host", {}),
    "s": ("203.0.113.5", "srflx", {"url": "stun:a"}),
    "ru": ("198.51.100.9", "relay", {"url": "turn:a", "relayProtocol": "udp"}),
    "rt": ("198.51.100.9", "relay", {"url": "turn:a?transport=tcp", "relayProtocol": "tcp"}),
}
THEIRS = {
    "l": ("127.0.0.1", "host", {}),
    "h4": ("192.168.7.7", "host", {}),
    "h6": ("2001:db8:7::7", "host", {}),
    "p": ("203.0.113.7", "prflx", {}),
    "r": ("198.51.100.9", "relay", {}),
}


def report(pairs, *, local="h4", remote="h4", selected=None):
    """W3C statistics of these candidates and pairs: (local, remote, asked, answered, heard)."""
    found = {}
    for kind, known, names in (("local", OURS, local.split()), ("remote", THEIRS, remote.split())):
        for name in names:
            address, candidate, more = known[name]
            found[f"{kind}-{name}"] = {
                "type": f"{kind}-candidate", "address": address, "port": 5000, "candidateType": candidate,
            } | more  # fmt: skip
    for ours, theirs, asked, answered, heard in pairs:
        found[f"{ours}/{theirs}"] = {
            "type": "candidate-pair",
            "localCandidateId": f"local-{ours}",
            "remoteCandidateId": f"remote-{theirs}",
            "state": "succeeded" if answered else "in-progress",
            "requestsSent": asked,
            "responsesReceived": answered,
            "requestsReceived": heard,
        } | ({"currentRoundTripTime": 0.02} if answered else {})
    found["T"] = {"type": "transport"} | ({"selectedCandidatePairId": selected} if selected else {})
    return found


def states(explained):
    return {rung.name: rung.state for rung in explained.rungs}


def said(explained, name):
    (rung,) = [rung for rung in explained.rungs if rung.name == name]
    return rung.said, rung.advice


@pytest.mark.parametrize(
    ("local", "remote", "rung"),
    [
        ("h4", "h4", "ipv4"),
        ("h6", "h6", "ipv6"),
        ("h4", "p", "stun"),
        ("s", "p", "stun"),
        ("h4", "r", "turn/udp"),
        ("ru", "h4", "turn/udp"),
        ("rt", "r", "turn/tcp"),
    ],
)
def test_which_way_a_pair_is(local, remote, rung):
    ours, theirs = (
        Candidate(address, 1, kind, by=more.get("relayProtocol", ""))
        for address, kind, more in (OURS[local], THEIRS[remote])
    )
    assert rung_of(ours, theirs) == rung


def test_the_same_network():
    explained = explain(report([("h4", "h4", 3, 3, 3)], selected="h4/h4"), hub=0.005)
    assert "direct, IPv4" in explained.summary
    assert states(explained) == {
        "ipv6": "absent", "ipv4": "used", "stun": "absent",
        "turn/udp": "absent", "turn/tcp": "absent", "turn/tls": "absent", "websocket": "works",
    }  # fmt: skip
    assert said(explained, "ipv4")[0].endswith("20 ms there and back")
    assert said(explained, "ipv6")[0] == "neither end has an address of it"
    assert said(explained, "turn/udp")[1] == "", "what is longer than the way in use needs no advice"


def test_strict_nats_are_why_it_is_relayed():
    pairs = [("h4", "h4", 8, 0, 0), ("h4", "p", 8, 0, 0), ("ru", "p", 3, 3, 3), ("rt", "p", 3, 3, 0)]
    given = report(pairs, local="h4 s ru rt", remote="h4 p", selected="ru/p")
    explained = explain(given, urls=["stun:a", "turn:a", "turn:a?transport=tcp"])
    assert states(explained)["stun"] == "failed"
    assert states(explained)["turn/udp"] == "used"
    assert states(explained)["turn/tcp"] == "works"
    assert explained.summary.startswith("relayed by this end's TURN server")
    assert "another port for each far end" in explained.summary
    assert "IPv6 at both ends" in said(explained, "stun")[1]
    assert [pair.rung for pair in explained.pairs] == ["turn/udp", "ipv4", "stun", "turn/tcp"]


def test_a_firewall_before_the_far_end():
    explained = explain(report([("h4", "h4", 8, 0, 5)]))
    assert "the far end's checks arrive, and ours do not" in said(explained, "ipv4")[0]


def test_the_loopback_is_left_out_where_it_leads_nowhere():
    pairs = [("l", "l", 8, 0, 0), ("h4", "l", 8, 0, 0), ("h4", "h4", 3, 3, 3)]
    given = report(pairs, local="h4 l", remote="h4 l", selected="h4/h4")
    explained = explain(given)
    assert (len(explained.pairs), len(explained.local), len(explained.remote)) == (1, 1, 1)
    here = explain(report([("l", "l", 3, 3, 3)], local="h4 l", remote="h4 l", selected="l/l"))
    assert (len(here.pairs), len(here.local)) == (1, 2)


def test_who_lacks_an_address():
    for local, remote, lacks in (("h4 h6", "h4", "the far end has no"), ("h4", "h4 h6", "this end has no")):
        explained = explain(report([], local=local, remote=remote))
        assert said(explained, "ipv6")[0] == f"{lacks} address of it"


def test_one_check_without_an_answer_says_nothing_yet():
    assert states(explain(report([("h4", "h4", 1, 0, 0)])))["ipv4"] == "trying"


def test_servers_that_gave_nothing():
    failures = [Failure("turn:a", 401, "Unauthorized"), Failure("stun:a", 701, "no answer")]
    explained = explain(
        report([]), failures=failures, urls=["stun:a", "turn:a"], hub=0.03, over_hub="no path"
    )
    assert "turn:a: 401 Unauthorized" in said(explained, "turn/udp")[0]
    assert "stun:a: 701 no answer" in said(explained, "stun")[0]
    assert states(explained)["websocket"] == "used"
    assert explained.summary == "through the hub by WebSocket, since no path"


def test_nothing_at_all():
    explained = explain({})
    assert set(states(explained).values()) == {"absent"}
    assert explained.pairs == []
