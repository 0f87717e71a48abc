"""The matrix of networks: which two meet, and what must come of it. The hub is their only server."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from .ends import coturn
from .house import house
from .lab import CLEAR, NATS, Lab, Way

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .house import Caller, House

IPV6 = "IPv6"
NO_UDP = {"udpblock", "tcp443"}


@dataclass(frozen=True)
class Cell:
    """A device and a viewer.

    Attributes:
        device, viewer: the NAT that each is behind; "" for a public address, `IPV6` for IPv6 alone.
        way: the way out of both.
        coturn: they have coturn for a server, and the hub only carries their signals.
    """

    device: str
    viewer: str
    way: Way = CLEAR
    coturn: bool = False

    def __str__(self) -> str:
        return "-".join([self.device or "public", self.viewer or "public", *self.special])

    @property
    def special(self) -> list[str]:
        """What the cell has beside its two networks, in words."""
        way = self.way
        words = [f"{way.delay * 1000:.0f} ms"] * bool(way.delay) + [f"{way.loss} % loss"] * bool(way.loss)
        return words + [f"{way.rate}/s"] * bool(way.rate) + ["coturn"] * self.coturn

    @property
    def direct(self) -> bool:
        """Whether the two NATs allow a direct path.

        Where one takes another port for each destination, the other must not look at ports.
        """
        kinds = {self.device, self.viewer}
        if kinds & NO_UDP or (IPV6 in kinds and len(kinds) > 1):
            return False
        return "symmetric" not in kinds or bool(kinds & {"full", "addr", ""})

    @property
    def plain(self) -> bool:
        """Whether it differs from other cells by its NATs alone, which can be exchanged in one lab."""
        return not self.special and {self.device, self.viewer} <= set(NATS)


IMPAIRED = (Way(delay=0.05), Way(loss=5), Way(rate="2mbit"), Way(delay=0.05, loss=5))

MATRIX = (
    *(Cell(*pair) for pair in product(NATS, NATS)),
    Cell("", ""),
    *(Cell("cone", "cone", way) for way in IMPAIRED),
    *(Cell("symmetric", "symmetric", way) for way in IMPAIRED),
    Cell(IPV6, IPV6),
    Cell(IPV6, "cone"),
    Cell("cone", IPV6),
    Cell("symmetric", "symmetric", coturn=True),
)

SMALL = (
    Cell("cone", "cone"),
    Cell("addr", "addr"),
    Cell("symmetric", "symmetric"),
    Cell("tcp443", "tcp443"),
)
"""What CI runs, in one lab."""


@dataclass(frozen=True)
class Result:
    """What came of a call.

    Attributes:
        path: in words.
        open, frame: seconds from the call to an open channel, and to the first picture.
    """

    path: str
    open: float
    frame: float

    @property
    def direct(self) -> bool:
        """Whether nobody relays."""
        return self.path.startswith("direct")


@asynccontextmanager
async def lab_of(cell: Cell, folder: Path) -> AsyncIterator[House]:
    """Make a cell's networks, with a hub and a camera in them."""
    with Lab() as lab:
        async with AsyncExitStack() as stack:
            servers = None
            if cell.coturn:
                servers = await stack.enter_async_context(coturn(lab.place("turn"), folder))
            yield await stack.enter_async_context(
                house(lab, folder, cell.device, cell.viewer, servers, way=cell.way)
            )


async def once(caller: Caller) -> Result | str:
    """Call once; return the error in words where that failed."""
    seen = await caller.call()
    if "error" in seen:
        return str(seen["error"])
    return Result(in_words(*seen["path"]), seen["open"], seen["frame"])


def in_words(local: dict[str, Any], remote: dict[str, Any]) -> str:
    """Say which path two candidates are."""
    if local["candidateType"] == "relay":
        return f"relay by {local.get('relayProtocol', 'udp').upper()}"
    if remote["candidateType"] == "relay":
        return "the device's relay"
    return "direct, IPv6" if ":" in str(remote.get("address") or "") else "direct"
