"""Questions to STUN servers: where does this socket seem to be from there (RFC 8489, RFC 5780)?

Connections ask by themselves; this is for who wants to know how a network behaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from plait import _native

if TYPE_CHECKING:
    import ssl as tls
    from types import TracebackType

Address = tuple[str, int]

# Seconds after which a request is sent again, and once more. A lost datagram is no firewall.
_AGAIN: Final = (0.3, 0.9)
_HEADER: Final = 20


class StunError(Exception):
    """The server refused.

    Attributes:
        code: its error code (RFC 8489, section 14.8).
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
        server: where the request went.
        source: where the answer came from.
        mapped: where it came from, as the server saw it; None where it did not say.
        other: the server's other address and port (RFC 5780, OTHER-ADDRESS), if it has them.
        round_trip: seconds from the first request to the answer.
    """

    server: Address
    source: Address
    mapped: Address | None
    other: Address | None
    round_trip: float


class StunSocket(asyncio.DatagramProtocol):
    """One UDP socket that asks any number of servers: `async with StunSocket() as asking`.

    Args:
        family: `socket.AF_INET` or `socket.AF_INET6`.

    Attributes:
        port: its port here.
    """

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self._family = family
        self._waiting: dict[bytes, asyncio.Future[tuple[bytes, Address]]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            OSError: this machine has no such network.
        """
        here = "0.0.0.0" if self._family == socket.AF_INET else "::"  # noqa: S104 - answers come to any address
        made = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(here, 0))
        self._transport = made[0]
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    async def ask(
        self, server: Address, *, change: tuple[bool, bool] | None = None, within: float = 3.0
    ) -> Answer:
        """Ask a server.

        Args:
            server: its IP address and port.
            change: have it answer from its other (address, port) (RFC 5780, CHANGE-REQUEST); from neither,
                it says where they are. Servers that do not know this refuse it (420).
            within: seconds that the answer may take.

        Raises:
            TimeoutError: none came.
            StunError: it refused.
            OSError: nothing can be sent there.
        """
        assert self._transport is not None  # noqa: S101 - entered before
        loop = asyncio.get_running_loop()
        request = _native.stun_request(change)
        future: asyncio.Future[tuple[bytes, Address]] = loop.create_future()
        self._waiting[request[8:20]] = future
        began = loop.time()
        try:
            async with asyncio.timeout(within):
                for wait in (*_AGAIN, None):
                    self._transport.sendto(request, server)
                    with contextlib.suppress(TimeoutError):
                        datagram, source = await asyncio.wait_for(asyncio.shield(future), wait)
                        return _read(server, source, request, datagram, loop.time() - began)
        finally:
            del self._waiting[request[8:20]]
        raise TimeoutError

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take what comes: whose answer it is, its transaction says; where it comes from may have changed."""
        future = self._waiting.get(data[8:20])
        if future is not None and not future.done():
            future.set_result((data, (addr[0], addr[1])))

    def error_received(self, exc: Exception) -> None:
        """Let be that a network said no: others may answer, and who does not is given up in time."""


async def ask_stream(
    server: Address, *, ssl: tls.SSLContext | None = None, name: str = "", within: float = 3.0
) -> Answer:
    """Ask a server over TCP, or TLS with `ssl` (RFC 8489, section 6.2.2).

    Args:
        server: its IP address, or its name, and port.
        ssl: whom to trust.
        name: the name that its certificate must be for; `server`'s where empty.
        within: seconds for all of it.

    Raises:
        TimeoutError: it took longer.
        StunError: the server refused, or does not speak STUN.
        OSError: it cannot be reached; `ssl.SSLError` where TLS failed.
    """
    loop = asyncio.get_running_loop()
    request = _native.stun_request(None)
    began = loop.time()
    async with asyncio.timeout(within):
        hostname = (name or server[0]) if ssl is not None else None
        reader, writer = await asyncio.open_connection(*server, ssl=ssl, server_hostname=hostname)
        try:
            began = loop.time()
            writer.write(request)
            try:
                head = await reader.readexactly(_HEADER)
                body = await reader.readexactly(int.from_bytes(head[2:4], "big"))
            except asyncio.IncompleteReadError:
                raise StunError(0, "it closed the connection without an answer") from None
            return _read(server, server, request, head + body, loop.time() - began)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _read(server: Address, source: Address, request: bytes, datagram: bytes, took: float) -> Answer:
    read = _native.stun_answer(request, datagram)
    if read is None:
        raise StunError(0, "what it answered is not STUN")
    mapped, other, _, error = read
    if error is not None:
        raise StunError(*error)
    return Answer(server, source, mapped, other, took)
