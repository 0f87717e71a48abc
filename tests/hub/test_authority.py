"""The hub's own certificate authority: made once, held to the names of a house."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import stat

import pytest
from cryptography.hazmat.primitives import serialization

from plait.hub.tls import names
from plait.hub.tls.authority import Authority

HERE = ["localhost", "pi.local", ipaddress.ip_address("192.168.7.5")]


def test_an_authority_is_made_once_for_its_owner_alone_and_its_roots_key_is_nowhere(tmp_path):
    made = Authority.open(tmp_path / "tls", HERE)
    assert Authority.open(tmp_path / "tls", []).fingerprint == made.fingerprint
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
    public = made.root.public_key()
    for file in (tmp_path / "tls").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        if b"PRIVATE KEY" in file.read_bytes():
            assert serialization.load_pem_private_key(file.read_bytes(), None).public_key() != public
    assert not (tmp_path / "tls.new").exists()


@pytest.mark.parametrize(
    ("name", "may"),
    [
        *[
            (name, True)
            for name in ("localhost", "pi.local", "hub.lan", "192.168.0.9", "10.1.2.3", "fd00::1")
        ],
        *[
            (name, True)
            for name in ("hub.example.org", "deep.hub.example.org", "203.0.113.7", "2001:db8::77")
        ],
        *[(name, False) for name in ("example.org", "nothub.example.org", "bank.example", "1.1.1.1")],
        *[(name, False) for name in ("2001:db8:1::1", "203.0.113.8", "notlocal", "local.example")],
    ],
)
def test_what_it_may_vouch_for_is_what_tls_libraries_take(tmp_path_factory, name, may):
    """Even with the issuer's key in hand: OpenSSL refuses what the constraints do not hold."""
    folder = tmp_path_factory.getbasetemp() / "constrained"
    named = [names.parse(each) for each in ("hub.example.org", "203.0.113.7", "2001:db8::1")]
    authority = Authority.open(folder, named)
    parsed = names.parse(name)
    assert authority.may_vouch_for(parsed) is may
    pair = authority.issue([parsed])
    (folder / "chain").write_bytes(pair.chain)
    (folder / "key").write_bytes(pair.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "chain", folder / "key")
    client = ssl.create_default_context(cadata=authority.pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(incoming, outgoing, server_side=True)
    other = client.wrap_bio(outgoing, incoming, server_hostname=name)
    if may:
        shake_hands(one, other)
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            shake_hands(one, other)


def shake_hands(*ends):
    waiting = list(ends)
    while waiting:
        for end in list(waiting):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(end)


@pytest.mark.parametrize(
    ("file", "content"),
    [("root.crt", b"none"), ("issuer.key", b"none"), ("issuer.crt", b""), ("issuer.key", None)],
)
def test_a_broken_authority_is_named(tmp_path, file, content):
    folder = tmp_path / "tls"
    Authority.open(folder, [])
    if content is None:
        Authority.open(tmp_path / "other", [])
        content = (tmp_path / "other" / file).read_bytes()
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=str(folder)):
        Authority.open(folder, [])


def test_a_clock_that_was_never_set_makes_an_authority_that_lasts(tmp_path, monkeypatch):
    monkeypatch.setattr("plait.hub.tls.authority.OLDEST", dt.datetime(2090, 1, 1, tzinfo=dt.UTC))
    authority = Authority.open(tmp_path / "tls", [])
    assert authority.root.not_valid_before_utc.year == 2089
    assert authority.root.not_valid_after_utc.year >= 2109


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Pi.Local.", "pi.local"),
        ("[fd00::1]", ipaddress.ip_address("fd00::1")),
        ("fe80::1%eth0", ipaddress.ip_address("fe80::1")),
        ("bücher.example", "xn--bcher-kva.example"),
        *[
            (text, None)
            for text in ("", "a b", "*.example", "-a.example", "a..b", "x" * 64, "http://pi.local")
        ],
    ],
)
def test_names_are_parsed(text, name):
    if name is None:
        with pytest.raises(ValueError, match="neither a host name nor an address"):
            names.parse(text)
    else:
        assert names.parse(text) == name


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("raspberrypi", {"raspberrypi.local"}),
        ("dev", {"dev.local"}),  # not dev itself: the authority would hold for the whole of .dev
        ("pi-4", {"pi-4.local", "pi-4"}),
        ("hub.example.org", {"hub.local", "hub.example.org"}),
        ("localhost", set()),
        ("no host", set()),
    ],
)
def test_a_machines_own_names(monkeypatch, host, own):
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    found = names.of_machine("127.0.0.1")
    assert set(found) == {"localhost", ipaddress.ip_address("127.0.0.1")} | own
    assert ipaddress.ip_address("::1") in names.of_machine("0.0.0.0")
