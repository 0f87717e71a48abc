"""The server on real sockets: what it relays, and what it refuses."""

from __future__ import annotations

import os
import random
import socket
import struct

import pytest

from plait import _native

from .blocking import COOKIE, IPV6, MAPPED, Client, parse, unmasked
from .conftest import REALM, SECRET, credentials, serving

SETTINGS = {"secret": SECRET, "realm": REALM}


def udp(ip: str = "127.0.0.1") -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    bound.settimeout(5)
    bound.bind((ip, 0))
    return bound


def at(bound: socket.socket) -> tuple[str, int]:
    return bound.getsockname()[:2]


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_a_binding_tells_the_address(turn, ip):
    server = next(address for address in turn.addresses if address[0] == ip)
    transaction = os.urandom(12)
    with udp(ip) as client:
        client.sendto(struct.pack("!HHI", 1, 0, COOKIE) + transaction, server)
        kind, found = parse(client.recv(2048))
        assert (kind, unmasked(found[MAPPED], transaction)) == (0x0101, at(client))


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_both_ways_by_indications_and_by_a_channel(turn, ip):
    server = next(address for address in turn.addresses if address[0] == ip)
    with udp(ip) as peer, Client(server, *credentials()) as client:
        assert client.allocate(*[IPV6] * (ip == "::1")) == 0
        assert client.permit(at(peer)) == 0
        client.send(at(peer), b"hello")
        payload, source = peer.recvfrom(99)
        assert (payload, source[:2]) == (b"hello", client.relayed)
        peer.sendto(b"hi", client.relayed)
        assert client.receive() == b"hi"
        assert client.bind(0x4000, at(peer)) == 0
        for size in (1, 1200, 8000):
            payload = os.urandom(size)
            client.through(0x4000, payload)
            assert peer.recv(9000) == payload
            peer.sendto(payload, client.relayed)
            assert client.receive() == payload


def test_many_clients_at_once_and_nothing_is_mixed_up(turn):
    count = 20
    with udp() as peer:
        clients = [Client(turn.addresses[0], *credentials(f"user{n}")) for n in range(count)]
        for client in clients:
            assert client.allocate() == 0
            assert client.bind(0x4000, at(peer)) == 0
        for turns in range(10):
            for n, client in enumerate(clients):
                client.through(0x4000, b"%d:%d" % (n, turns))
        got: dict[tuple[str, int], list[bytes]] = {}
        for _ in range(count * 10):
            payload, source = peer.recvfrom(99)
            got.setdefault(source, []).append(payload)
            peer.sendto(payload, source)
        for n, client in enumerate(clients):
            expected = [b"%d:%d" % (n, turns) for turns in range(10)]
            assert got[client.relayed] == expected
            assert [client.receive() for _ in expected] == expected
            client.socket.close()


def test_nothing_reaches_this_machine_unless_it_is_allowed():
    with serving(allow=[]) as server, udp() as peer, Client(server.addresses[0], *credentials()) as client:
        assert client.allocate() == 0
        mapped = (f"::ffff:{at(peer)[0]}", at(peer)[1])
        # An address of the other form is not of this relay's family.
        assert [client.permit(at(peer)), client.permit(mapped)] == [403, 443]
        client.send(at(peer), b"x")
        server.permit("call", "user", *at(peer))
        assert client.permit(at(peer)) == 403
        assert server.counters()["refused_candidates"] == 1


def test_two_ends_of_one_call_meet_inside():
    with (
        serving(allow=[]) as server,
        Client(server.addresses[0], *credentials("one")) as one,
        Client(server.addresses[0], *credentials("two")) as two,
        Client(server.addresses[0], *credentials("two", call="other")) as stranger,
    ):
        assert [end.allocate() for end in (one, two, stranger)] == [0, 0, 0]
        assert (one.permit(two.relayed), two.permit(one.relayed), stranger.permit(one.relayed)) == (0, 0, 403)
        one.send(two.relayed, b"hello")
        assert two.receive() == b"hello"
        assert server.counters()["inside"] == 1


def test_the_world_sees_the_published_address():
    with (
        serving(published=[("0.0.0.0", "203.0.113.9")]) as server,
        Client(server.addresses[0], *credentials("one")) as one,
        Client(server.addresses[0], *credentials("two")) as two,
    ):
        assert (one.allocate(), two.allocate()) == (0, 0)
        assert one.relayed[0] == two.relayed[0] == "203.0.113.9"
        assert (one.permit(two.relayed), two.permit(one.relayed)) == (0, 0)
        one.send(two.relayed, b"hello")
        assert two.receive() == b"hello"


def test_the_range_of_ports_holds():
    with udp() as taken:
        first = at(taken)[1]
    with serving(relay_ports=(first, first + 1), max_allocations=9) as server:
        clients = [Client(server.addresses[0], *credentials()) for _ in range(3)]
        codes = [client.allocate() for client in clients]
        assert codes == [0, 0, 508]
        assert {client.relayed[1] for client in clients[:2]} == {first, first + 1}
        for client in clients:
            client.socket.close()


def test_a_user_has_a_quota_and_others_have_theirs():
    with serving(max_allocations=3) as server:
        clients = [Client(server.addresses[0], *credentials()) for _ in range(100)]
        codes = [client.allocate() for client in clients]
        with Client(server.addresses[0], *credentials("other")) as other:
            assert other.allocate() == 0
        for client in clients:
            client.socket.close()
    assert codes == [0] * 3 + [486] * 97
    # Also after the end.
    assert server.counters()["refused_quota"] == 97


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param(*credentials(lasts=-1), id="expired"),
        pytest.param(*credentials(secret=b"another hub's"), id="foreign"),
        pytest.param(credentials()[0], "guess", id="forged"),
        pytest.param("user", "password", id="of another kind"),
    ],
)
def test_bad_credentials_get_nothing(turn, username, password):
    with Client(turn.addresses[0], username, password) as client:
        assert client.allocate() == 401
    counters = turn.counters()
    assert (counters["allocated"], counters["refused_expired"] + counters["refused_credentials"]) == (0, 1)


def test_a_call_that_is_revoked_is_cut_off(turn):
    with udp() as peer, Client(turn.addresses[0], *credentials()) as client:
        assert (client.allocate(), client.permit(at(peer))) == (0, 0)
        turn.revoke("call")
        assert client.permit(at(peer)) == 401
    assert turn.counters()["allocations"] == 0


def test_a_call_that_is_kept_outlives_its_credentials(turn):
    with Client(turn.addresses[0], *credentials(lasts=-5)) as client:
        assert client.allocate() == 401
        turn.keep("call", 4_000_000_000)
        assert client.allocate() == 0


def test_junk_is_dropped_and_the_call_goes_on(turn):
    noise = random.Random(5)
    server = turn.addresses[0]
    with udp() as peer, udp() as stranger, Client(server, *credentials()) as client:
        assert (client.allocate(), client.bind(0x4000, at(peer))) == (0, 0)
        for _ in range(40):
            for _ in range(50):
                stranger.sendto(noise.randbytes(noise.randrange(200)), server)
                client.socket.send(noise.randbytes(noise.randrange(3, 200)))
                peer.sendto(noise.randbytes(9), client.relayed)
                assert len(client.receive()) == 9
            client.through(0x4000, b"still here")
            while peer.recv(999) != b"still here":
                pass
        stranger.setblocking(False)
        # Nothing was answered, except by chance what was STUN.
        with pytest.raises(BlockingIOError):
            stranger.recv(999)
    assert turn.counters()["discarded"] > 1000


@pytest.mark.parametrize(
    ("listen", "changes", "words"),
    [
        ([], {}, "address"),
        ([("localhost", 0)], {}, "localhost"),
        ([("127.0.0.1", 0)], {"secret": b""}, "secret"),
        ([("127.0.0.1", 0)], {"realm": ""}, "realm"),
        ([("127.0.0.1", 0)], {"relay_ports": (50000, 49000)}, "relay_ports"),
        ([("127.0.0.1", 0)], {"relay_ports": (0, 49000)}, "relay_ports"),
        ([("127.0.0.1", 0)], {"allow": ["10.0.0.0/40"]}, "10.0.0.0/40"),
        ([("127.0.0.1", 0)], {"published": [("127.0.0.1", "here")]}, "here"),
        ([("127.0.0.1", 0)], {"max_lifetime": 0.0}, "max_lifetime"),
    ],
)
def test_bad_settings_are_named(listen, changes, words):
    with pytest.raises(ValueError, match=words):
        _native.TurnServer(listen, **(SETTINGS | changes))


def test_a_port_in_use_is_named():
    with udp() as taken, pytest.raises(OSError, match=f"UDP 127.0.0.1:{at(taken)[1]}"):
        _native.TurnServer([at(taken)], **SETTINGS)


def test_after_close_there_is_nothing_to_ask():
    with serving() as server:
        pass
    server.close()
    with pytest.raises(RuntimeError, match="not running"):
        server.permit("call", "user", "198.51.100.1", 5000)
    with pytest.raises(ValueError, match="no IP address"), serving() as server:
        server.permit("call", "user", "a.local", 5000)
    with udp() as again:
        again.close()
    assert server.counters()["allocations"] == 0
