"""A TURN client that says just what a test wants (RFC 8656), over UDP."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MAGIC = 0x2112A442
BINDING, ALLOCATE, REFRESH, SEND, DATA, PERMIT, BIND = 0x001, 0x003, 0x004, 0x006, 0x007, 0x008, 0x009
CHANNEL, LIFETIME, USERNAME, INTEGRITY, ERROR = 0x000C, 0x000D, 0x0006, 0x0008, 0x0009
PEER, DATA_ATTRIBUTE, REALM, NONCE, RELAYED, FAMILY, TRANSPORT = 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x19
WITHIN = 10.0


def address_attribute(host: str, port: int) -> bytes:
    """XOR-ed (RFC 8489, section 14.2), for IPv6 without the transaction: `message` does that."""
    address = ipaddress.ip_address(host)
    head = struct.pack("!BBH", 0, 1 if address.version == 4 else 2, port ^ (MAGIC >> 16))
    return head + address.packed


def attribute(kind: int, value: bytes, transaction: bytes) -> bytes:
    if kind == PEER:
        key = struct.pack("!I", MAGIC) + transaction
        value = value[:4] + bytes(a ^ b for a, b in zip(value[4:], key, strict=False))
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


@dataclass
class Answer:
    """What a server answered: 0 in `error` for success."""

    error: int
    attributes: dict[int, bytes]
    transaction: bytes

    def address(self, kind: int) -> tuple[str, int]:
        value = self.attributes[kind]
        port = struct.unpack("!H", value[2:4])[0] ^ (MAGIC >> 16)
        key = struct.pack("!I", MAGIC) + self.transaction
        packed = bytes(a ^ b for a, b in zip(value[4:], key, strict=False))
        return str(ipaddress.ip_address(packed)), port


@dataclass
class Client(asyncio.DatagramProtocol):
    """One five-tuple of a TURN client.

    Attributes:
        data: what came from peers: (from, payload).
    """

    username: str = ""
    password: str = ""
    realm: bytes = b""
    nonce: bytes = b""
    data: asyncio.Queue = field(default_factory=asyncio.Queue)
    raw: asyncio.Queue = field(default_factory=asyncio.Queue)
    waiting: dict = field(default_factory=dict)

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data, _) -> None:
        self.raw.put_nowait(data)
        if data[0] & 0xC0:
            self.data.put_nowait((struct.unpack("!H", data[:2])[0], data[4 : 4 + int.from_bytes(data[2:4])]))
            return
        kind, length, _ = struct.unpack("!HHI", data[:8])
        transaction, rest, attributes = data[8:20], data[20 : 20 + length], {}
        while rest:
            number, size = struct.unpack("!HH", rest[:4])
            attributes.setdefault(number, rest[4 : 4 + size])
            rest = rest[4 + size + -size % 4 :]
        code = attributes.get(ERROR)
        answer = Answer(0 if code is None else code[2] * 100 + code[3], attributes, transaction)
        if kind == 0x0010 | DATA:
            self.data.put_nowait((answer.address(PEER), attributes[DATA_ATTRIBUTE]))
        elif (waiter := self.waiting.pop(transaction, None)) is not None and not waiter.done():
            waiter.set_result(answer)

    def error_received(self, _) -> None:
        """A closed port: what was asked is not answered, and the test sees that."""

    def message(self, kind: int, attributes=(), *, signed: bool = True) -> tuple[bytes, bytes]:
        transaction = os.urandom(12)
        known = list(attributes)
        if signed and self.nonce:
            known += [(USERNAME, self.username.encode()), (REALM, self.realm), (NONCE, self.nonce)]
        body = b"".join(attribute(*each, transaction) for each in known)
        if signed and self.nonce:
            head = struct.pack("!HHI", kind, len(body) + 24, MAGIC) + transaction
            # RFC 8489, section 9.2.2: the key is the MD5 of user, realm and password.
            secret = f"{self.username}:{self.realm.decode()}:{self.password}".encode()
            key = hashlib.md5(secret, usedforsecurity=False).digest()
            body += attribute(INTEGRITY, hmac.digest(key, head + body, "sha1"), transaction)
        return struct.pack("!HHI", kind, len(body), MAGIC) + transaction + body, transaction

    async def ask(self, kind: int, attributes=(), *, signed: bool = True) -> Answer:
        """Ask once, and again every half second as RFC 8489 has it; the answer."""
        return await self.answer_to(*self.message(kind, attributes, signed=signed))

    async def answer_to(self, message: bytes, transaction: bytes) -> Answer:
        """Ask with this message."""
        waiter = self.waiting[transaction] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(WITHIN):
            while True:
                self.transport.sendto(message)
                done, _ = await asyncio.wait([waiter], timeout=0.5)
                if done:
                    return waiter.result()

    async def signed(self, kind: int, attributes=()) -> Answer:
        """Ask with credentials; a nonce that is asked for, or stale, is taken and used."""
        answer = await self.ask(kind, attributes)
        if answer.error in (401, 438) and (not self.nonce or answer.error == 438):
            self.realm, self.nonce = answer.attributes[REALM], answer.attributes[NONCE]
            answer = await self.ask(kind, attributes)
        return answer

    async def allocate(self, family: int | None = None) -> Answer:
        wanted = [(TRANSPORT, b"\x11\0\0\0")]
        if family is not None:
            wanted.append((FAMILY, bytes([family, 0, 0, 0])))
        return await self.signed(ALLOCATE, wanted)

    async def refresh(self, lifetime: int) -> Answer:
        return await self.signed(REFRESH, [(LIFETIME, struct.pack("!I", lifetime))])

    async def permit(self, *hosts: str) -> Answer:
        return await self.signed(PERMIT, [(PEER, address_attribute(host, 0)) for host in hosts])

    async def bind(self, number: int, host: str, port: int) -> Answer:
        channel = (CHANNEL, struct.pack("!HH", number, 0))
        return await self.signed(BIND, [channel, (PEER, address_attribute(host, port))])

    def send(self, host: str, port: int, payload: bytes) -> None:
        attributes = [(PEER, address_attribute(host, port)), (DATA_ATTRIBUTE, payload)]
        self.transport.sendto(self.message(0x0010 | SEND, attributes, signed=False)[0])

    def send_channel(self, number: int, payload: bytes) -> None:
        self.transport.sendto(struct.pack("!HH", number, len(payload)) + payload)


@asynccontextmanager
async def client(server: tuple[str, int], username: str = "", password: str = ""):
    """A client on a port of its own."""
    loop = asyncio.get_running_loop()
    made = Client(username, password)
    transport, _ = await loop.create_datagram_endpoint(lambda: made, remote_addr=server)
    try:
        yield made
    finally:
        transport.close()
