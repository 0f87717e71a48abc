"""A TURN client that blocks (RFC 8656), for tests that take one step after the other."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import socket
import struct
from typing import Self

COOKIE = 0x2112A442
ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND = 0x003, 0x004, 0x008, 0x009
SEND_INDICATION = 0x016
USERNAME, INTEGRITY, ERROR, CHANNEL, LIFETIME, PEER, DATA = 0x006, 0x008, 0x009, 0x00C, 0x00D, 0x012, 0x013
REALM, NONCE, RELAYED, FAMILY, TRANSPORT, MAPPED = 0x014, 0x015, 0x016, 0x017, 0x019, 0x020
UDP = (TRANSPORT, b"\x11\0\0\0")
IPV6 = (FAMILY, b"\x02\0\0\0")
WITHIN = 5.0


def message(
    kind: int, *attributes: tuple[int, bytes], key: bytes | None = None, transaction: bytes = b""
) -> bytes:
    """Write a message; with a key it is signed."""
    transaction = transaction or os.urandom(12)
    body = b"".join(
        struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4) for kind, value in attributes
    )
    if key is not None:
        header = struct.pack("!HHI", kind, len(body) + 24, COOKIE) + transaction
        body += struct.pack("!HH", INTEGRITY, 20) + hmac.digest(key, header + body, "sha1")
    return struct.pack("!HHI", kind, len(body), COOKIE) + transaction + body


def parse(data: bytes) -> tuple[int, dict[int, bytes]]:
    """Read a message: its type and attributes."""
    attributes = {}
    at = 20
    while at < len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        attributes[kind] = data[at + 4 : at + 4 + length]
        at += 4 + length + -length % 4
    return struct.unpack_from("!H", data)[0], attributes


def masked(ip: str, port: int, transaction: bytes) -> bytes:
    """An XOR-PEER-ADDRESS for an address."""
    packed = ipaddress.ip_address(ip).packed
    mask = struct.pack("!I", COOKIE) + transaction
    family = 1 if len(packed) == 4 else 2
    return struct.pack("!BBH", 0, family, port ^ (COOKIE >> 16)) + bytes(
        a ^ b for a, b in zip(packed, mask, strict=False)
    )


def unmasked(value: bytes, transaction: bytes) -> tuple[str, int]:
    mask = struct.pack("!I", COOKIE) + transaction
    ip = ipaddress.ip_address(bytes(a ^ b for a, b in zip(value[4:], mask, strict=False)))
    return str(ip), struct.unpack_from("!H", value, 2)[0] ^ (COOKIE >> 16)


class Client:
    """One allocation's client, on a socket of its own."""

    def __init__(self, server: tuple[str, int], username: str, password: str, source: str = "") -> None:
        self.username, self.password = username, password
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(WITHIN)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(server)
        self.known: list[tuple[int, bytes]] = []
        self.key: bytes | None = None
        self.relayed = ("", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(
        self, kind: int, *attributes: tuple[int, bytes], peer: tuple[str, int] | None = None
    ) -> tuple[int, dict[int, bytes]]:
        """Ask, with credentials once they were asked for; the error's code or 0, and the attributes."""
        for _ in range(3):
            transaction = os.urandom(12)
            more = [(PEER, masked(*peer, transaction))] if peer else []
            self.socket.send(
                message(kind, *attributes, *more, *self.known, key=self.key, transaction=transaction)
            )
            answer = self.socket.recv(2048)
            assert answer[8:20] == transaction
            _, found = parse(answer)
            code = found[ERROR][2] * 100 + found[ERROR][3] if ERROR in found else 0
            if code == 438 or (code == 401 and self.key is None):
                realm, nonce = found[REALM], found[NONCE]
                self.known = [(USERNAME, self.username.encode()), (REALM, realm), (NONCE, nonce)]
                secret = b":".join([self.username.encode(), realm, self.password.encode()])
                self.key = hashlib.md5(secret, usedforsecurity=False).digest()
                continue
            if RELAYED in found:
                self.relayed = unmasked(found[RELAYED], transaction)
            return code, found
        return code, found

    def allocate(self, *more: tuple[int, bytes]) -> int:
        return self.ask(ALLOCATE, UDP, *more)[0]

    def permit(self, peer: tuple[str, int]) -> int:
        return self.ask(CREATE_PERMISSION, peer=peer)[0]

    def bind(self, number: int, peer: tuple[str, int]) -> int:
        return self.ask(CHANNEL_BIND, (CHANNEL, struct.pack("!HH", number, 0)), peer=peer)[0]

    def send(self, peer: tuple[str, int], payload: bytes) -> None:
        transaction = os.urandom(12)
        self.socket.send(
            message(
                SEND_INDICATION, (PEER, masked(*peer, transaction)), (DATA, payload), transaction=transaction
            )
        )

    def through(self, number: int, payload: bytes) -> None:
        self.socket.send(struct.pack("!HH", number, len(payload)) + payload)

    def receive(self) -> bytes:
        """Take what a peer has sent."""
        answer = self.socket.recv(65536)
        return answer[4:] if answer[0] >= 0x40 else parse(answer)[1][DATA]
