"""A TURN client (RFC 8656) on a blocking socket: as much as it takes to set a relay up for `turn_load.c`."""

from __future__ import annotations

import hashlib
import hmac
import os
import socket
import struct
from contextlib import suppress

_MAGIC = 0x2112A442
_ALLOCATE, _REFRESH, _PERMIT, _BIND = 0x003, 0x004, 0x008, 0x009
_CHANNEL, _LIFETIME, _USERNAME, _INTEGRITY, _ERROR, _PEER = 0x0C, 0x0D, 0x06, 0x08, 0x09, 0x12
_REALM, _NONCE, _RELAYED, _TRANSPORT = 0x14, 0x15, 0x16, 0x19
CHANNEL = 0x4000
_BUFFER = 4 << 20


class Relay:
    """One allocation, bound to one peer by a channel.

    Args:
        port: the server's, on loopback.
        username, password: credentials.
        stream: over TCP, else UDP.

    Attributes:
        client: the socket to the server.
        peer: the peer's UDP socket, connected to the relayed address.

    Raises:
        OSError: the server refused.
    """

    def __init__(self, port: int, username: str, password: str, *, stream: bool) -> None:
        self._user = (username, password)
        self._realm = self._nonce = b""
        self._stream = stream
        self.client = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for end in (self.client, self.peer):
            with suppress(OSError):  # only root may have more than the kernel's limit
                end.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)  # SO_RCVBUFFORCE
            end.settimeout(5)
        try:
            self._set_up(port)
        except OSError:
            self.client.close()
            self.peer.close()
            raise

    def _set_up(self, port: int) -> None:
        self.client.connect(("127.0.0.1", port))
        self.peer.bind(("127.0.0.1", 0))
        self.peer.connect(self._allocate())
        address = self._xor(self.peer.getsockname())
        self._ask(_PERMIT, [(_PEER, address)])
        self._ask(_BIND, [(_CHANNEL, struct.pack("!HH", CHANNEL, 0)), (_PEER, address)])

    def close(self) -> None:
        """Give the relay back: another socket may get this one's port soon."""
        if not self._stream:
            self.client.sendall(self._request(_REFRESH, [(_LIFETIME, bytes(4))]))
        self.client.close()
        self.peer.close()

    def _allocate(self) -> tuple[str, int]:
        wanted = [(_TRANSPORT, b"\x11\0\0\0")]
        with suppress(PermissionError):
            self._ask(_ALLOCATE, wanted)
        answer = self._ask(_ALLOCATE, wanted)
        port, address = struct.unpack("!2xHI", answer[_RELAYED])
        return socket.inet_ntoa(struct.pack("!I", address ^ _MAGIC)), port ^ (_MAGIC >> 16)

    @staticmethod
    def _xor(address: tuple[str, int]) -> bytes:
        number = struct.unpack("!I", socket.inet_aton(address[0]))[0]
        return struct.pack("!BBHI", 0, 1, address[1] ^ (_MAGIC >> 16), number ^ _MAGIC)

    def _request(self, kind: int, attributes: list[tuple[int, bytes]]) -> bytes:
        username, password = self._user
        transaction = os.urandom(12)
        if self._nonce:
            attributes = [
                *attributes,
                *((_USERNAME, username.encode()), (_REALM, self._realm), (_NONCE, self._nonce)),
            ]
        body = b"".join(_attribute(*each) for each in attributes)
        if self._nonce:
            head = struct.pack("!HHI", kind, len(body) + 24, _MAGIC) + transaction
            secret = f"{username}:{self._realm.decode()}:{password}".encode()
            key = hashlib.md5(secret, usedforsecurity=False).digest()
            body += _attribute(_INTEGRITY, hmac.digest(key, head + body, "sha1"))
        return struct.pack("!HHI", kind, len(body), _MAGIC) + transaction + body

    def _ask(self, kind: int, attributes: list[tuple[int, bytes]]) -> dict[int, bytes]:
        self.client.sendall(self._request(kind, attributes))
        answer = self._answer()
        if (error := answer.get(_ERROR)) is not None:
            code = error[2] * 100 + error[3]
            self._realm, self._nonce = answer.get(_REALM, b""), answer.get(_NONCE, b"")
            if code == 401:
                raise PermissionError("credentials are asked for")
            raise OSError(f"the server says {code} {error[4:].decode()}")
        return answer

    def _answer(self) -> dict[int, bytes]:
        if self._stream:
            head = self.client.recv(20, socket.MSG_WAITALL)
            rest = self.client.recv(struct.unpack("!2xH", head[:4])[0], socket.MSG_WAITALL)
        else:
            rest = self.client.recv(2048)[20:]
        found: dict[int, bytes] = {}
        while rest:
            kind, length = struct.unpack("!HH", rest[:4])
            found[kind] = rest[4 : 4 + length]
            rest = rest[4 + (length + 3) // 4 * 4 :]
        return found


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
