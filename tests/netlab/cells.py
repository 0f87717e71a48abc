"""The matrix of networks: which two meet, and what must come of it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from .ends import call, chromium, coturn, engine
from .lab import CLEAR, NATS, Lab, Way

if TYPE_CHECKING:
    from pathlib import Path

IPV6 = "IPv6"
NO_UDP = {"udpblock", "tcp443"}
WITHIN = 40.0


@dataclass(frozen=True)
class Cell:
    """A device and a viewer.

    Attributes:
        device, viewer: the NAT that each is behind; "" for a public address, `IPV6` for IPv6 alone.
        way: the way out of both.
    """

    device: str
    viewer: str
    way: Way = CLEAR

    def __str__(self) -> str:
        way = self.way
        more = [f"{way.delay * 1000:.0f} ms"] * bool(way.delay) + [f"{way.loss} % loss"] * bool(way.loss)
        more += [f"{way.rate}/s"] * bool(way.rate)
        return "-".join([self.device or "public", self.viewer or "public", *more])

    @property
    def direct(self) -> bool:
        """Whether the two NATs allow a direct path.

        Where one takes another port for each destination, the other must not look at ports.
        """
        kinds = {self.device, self.viewer}
        if kinds & NO_UDP or (IPV6 in kinds and len(kinds) > 1):
            return False
        return "symmetric" not in kinds or bool(kinds & {"full", "addr", ""})


IMPAIRED = (Way(delay=0.05), Way(loss=5), Way(rate="2mbit"), Way(delay=0.05, loss=5))

MATRIX = (
    Cell("", ""),
    *(Cell(*pair) for pair in product(NATS, NATS)),
    *(Cell("cone", "cone", way) for way in IMPAIRED),
    *(Cell("symmetric", "symmetric", way) for way in IMPAIRED),
    Cell(IPV6, IPV6),
    Cell(IPV6, "cone"),
    Cell("cone", IPV6),
)

SMALL = (
    Cell("cone", "cone"),
    Cell("addr", "addr"),
    Cell("symmetric", "symmetric"),
    Cell("tcp443", "tcp443"),
    Cell("cone", "cone", Way(delay=0.05, loss=5)),
    Cell(IPV6, IPV6),
)
"""What CI runs."""


@dataclass(frozen=True)
class Result:
    """What came of a call.

    Attributes:
        path: in words.
        open, frame: seconds from the viewer's offer to an open channel, and to the first picture.
    """

    path: str
    open: float
    frame: float

    @property
    def direct(self) -> bool:
        """Whether nobody relays."""
        return self.path.startswith("direct")


async def run_cell(cell: Cell, folder: Path, *, browser: bool = False) -> Result:
    """Make the networks of a cell, and have the viewer call the device.

    Raises:
        TimeoutError: they did not meet.
    """
    with Lab() as lab:
        async with AsyncExitStack() as stack:
            hub = lab.place("hub")
            device, viewer = (
                lab.place(name, "" if kind == IPV6 else kind, cell.way, ipv6=kind == IPV6)
                for name, kind in (("device", cell.device), ("viewer", cell.viewer))
            )
            servers = await stack.enter_async_context(coturn(hub, folder))
            far = await stack.enter_async_context(engine(device, servers))
            if browser:
                pages = await stack.enter_async_context(chromium(viewer, folder))
                near = await stack.enter_async_context(pages.page(servers))
            else:
                near = await stack.enter_async_context(engine(viewer, servers))
            seen = await call(near, far, WITHIN)
            return Result(in_words(*seen["path"]), seen["open"], seen["frame"])


def in_words(local: dict[str, Any], remote: dict[str, Any]) -> str:
    """Say which path two candidates are."""
    if local["candidateType"] == "relay":
        return f"relay by {local.get('relayProtocol', 'udp').upper()}"
    if remote["candidateType"] == "relay":
        return "the device's relay"
    return "direct, IPv6" if ":" in str(remote.get("address") or "") else "direct"
