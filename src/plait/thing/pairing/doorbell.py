"""Ringing without the hub: how the caller of a pair brings its offer to a thing whose address it knows.

One TCP connection, one JSON line each way (`docs/protocol.md`, section 6). Nothing on it is secret, and
nothing is believed: the permission in the offer is signed by the hub, and it names the certificate that the
far end must show in DTLS. Who listens in on the network can at most disturb.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import ifaddr
import msgspec

from plait.wire.errors import Busy, InvalidMessage, PlaitError, Problem, from_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

LINE: Final = 64 << 10
"""Bytes of a line at the most."""

WITHIN: Final = 5.0
"""Seconds for the whole of it."""

AT_ONCE: Final = 8
"""Who rings while so many do is told `busy`."""

log = logging.getLogger("plait.thing")


class Doorbell:
    """Where a thing is found by those who may use it; it listens from `open` on.

    Args:
        answer: takes an offer and returns the answer's SDP; raises what is told instead.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Awaitable[str]]) -> None:
        self._answer = answer
        self._opening: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._ringing = 0
        self.port = 0

    def open(self, port: int) -> None:
        """Listen on this port of every address of this machine; on another where it is taken.

        Raises:
            OSError: on none.
        """
        if self.port:
            return
        try:
            bound = _bind(port)
        except OSError:
            bound = _bind(0)
        self.port = bound.getsockname()[1]
        # Who rings from now on waits in the socket's queue until this has begun.
        self._opening = asyncio.create_task(self._listen(bound))

    async def _listen(self, bound: socket.socket) -> None:
        self._server = await asyncio.start_server(self._rung, sock=bound, limit=LINE)

    @property
    def addresses(self) -> list[str]:
        """Where it may be found: `ADDRESS:PORT`, and `[ADDRESS]:PORT` for IPv6."""
        if not self.port:
            return []
        found = []
        for adapter in ifaddr.get_adapters():
            for each in adapter.ips:
                if each.is_IPv4:
                    found.append(f"{each.ip}:{self.port}")
                elif not each.ip[0].startswith("fe80"):  # which interface it is on means nothing elsewhere
                    found.append(f"[{each.ip[0]}]:{self.port}")
        return found

    async def close(self) -> None:
        """Listen no more."""
        if self._opening is not None:
            await self._opening
        if self._server is not None:
            self._server.close()
        self._opening = self._server = None
        self.port = 0

    async def _rung(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ringing += 1
        try:
            async with asyncio.timeout(WITHIN):
                answer = await self._answered(reader)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (OSError, TimeoutError) as error:
            log.info("somebody who rang is gone: %s", error)
        finally:
            self._ringing -= 1
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        try:
            if self._ringing > AT_ONCE:
                raise Busy("too many ring at a time")
            asked = _line(await reader.readline())
            return {"sdp": await self._answer(asked)}
        except PlaitError as error:
            log.warning("somebody who rings is refused: %s", error)
            return {"error": error.problem()}
        except ValueError as error:  # a line without end, or an offer that is none
            refused = InvalidMessage(f"this is no offer: {error}")
            log.warning("somebody who rings is refused: %s", refused)
            return {"error": refused.problem()}


def _bind(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


async def ring(addresses: Iterable[str], asked: dict[str, Any]) -> str:
    """Bring an offer to the first of these addresses that answers; return the SDP of the answer.

    Raises:
        OSError: none of them answers.
        PlaitError: the thing says why not.
    """
    failure: Exception = OSError("it is not known where the thing may be found")
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            async with asyncio.timeout(WITHIN):
                return await _ring(host.strip("[]"), int(port), asked)
        except (OSError, TimeoutError, ValueError) as error:
            failure = error
    raise OSError(f"nobody answers: {str(failure) or type(failure).__name__}") from failure


async def _ring(host: str, port: int, asked: dict[str, Any]) -> str:
    reader, writer = await asyncio.open_connection(host, port, limit=LINE)
    try:
        writer.write(msgspec.json.encode(asked) + b"\n")
        await writer.drain()
        told = _line(await reader.readline())
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    if isinstance(told.get("sdp"), str):
        return str(told["sdp"])
    if "error" in told:
        raise from_problem(msgspec.convert(told["error"], Problem))
    raise InvalidMessage("the thing's answer is none")


def _line(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise InvalidMessage(f"this is no offer: {error}") from error
