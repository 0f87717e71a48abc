"""The URLs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from __future__ import annotations

import pytest

from plait.rtc import IceServer, PeerConnection
from plait.rtc.servers import read


@pytest.mark.parametrize(
    ("url", "host", "port", "transport"),
    [
        ("stun:192.0.2.1", "192.0.2.1", 3478, ""),
        ("STUN:example.org:19302", "example.org", 19302, ""),
        ("stun:[2001:db8::1]:3479", "2001:db8::1", 3479, ""),
        ("turn:example.org", "example.org", 3478, "udp"),
        ("turn:example.org?transport=udp", "example.org", 3478, "udp"),
        ("turn:example.org:80?transport=TCP", "example.org", 80, "tcp"),
        ("turns:example.org", "example.org", 5349, "tls"),
        ("turns:example.org:443?transport=tcp", "example.org", 443, "tls"),
    ],
)
def test_a_url_is_taken_apart(url, host, port, transport):
    (server,) = read([IceServer(url, "plait", "secret")])
    assert (server.host, server.port, server.transport) == (host, port, transport)


def test_all_urls_of_all_servers_are_read_but_stun_over_tls():
    servers = [IceServer(("stun:a", "stuns:b", "stun:c")), IceServer("turn:d", "plait", "secret")]
    assert [server.host for server in read(servers)] == ["a", "c", "d"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1",
        "http://127.0.0.1",
        "stun:",
        "stun://127.0.0.1",
        "stun:127.0.0.1:port",
        "stun:127.0.0.1:0",
        "stun:127.0.0.1:65536",
        "stun:[::1",
        "stun:127.0.0.1?transport=udp",
        "turn:127.0.0.1?transport=sctp",
        "turns:127.0.0.1?transport=udp",
        "turn:127.0.0.1\r\n",
        "turn:user@127.0.0.1",
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url):
    with pytest.raises(ValueError, match=r"URL|port|transport|DTLS") as caught:
        PeerConnection(ice_servers=[IceServer(url, "plait", "secret")])
    assert repr(url) in str(caught.value)


def test_a_turn_server_needs_credentials():
    with pytest.raises(ValueError, match="turn:"):
        PeerConnection(ice_servers=[IceServer("turn:127.0.0.1", "plait")])


def test_the_credential_is_not_shown():
    assert "secret" not in repr(IceServer("turn:127.0.0.1", "plait", "secret"))


def test_a_server_as_signaling_carries_it():
    one = IceServer.from_dict({"urls": "stun:192.0.2.1"})
    assert one == IceServer(("stun:192.0.2.1",))
    two = IceServer.from_dict(
        {"urls": ["turn:192.0.2.1", "turns:192.0.2.1"], "username": "u", "credential": "c"}
    )
    assert two == IceServer(("turn:192.0.2.1", "turns:192.0.2.1"), "u", "c")
    with pytest.raises(ValueError, match="urls"):
        IceServer.from_dict({"username": "u"})
