"""The strand through the hub: packets as `link` notifications of a session."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from plait.wire.messages import LINK

if TYPE_CHECKING:
    from plait.link.link import Link
    from plait.transport.client import Client
    from plait.wire.link import Lane
    from plait.wire.messages import Message

ROOM: Final = 256 << 10
"""Bytes that the session may still keep for the hub when another packet is given to it."""


class HubCarrier:
    """Carries a link's packets through the hub.

    Args:
        client: the session.
        thing_id: the thing at one end.
        link_id: the link.
    """

    lanes: tuple[Lane, ...] = ("any",)

    def __init__(self, client: Client, thing_id: str, link_id: str) -> None:
        self._client = client
        self._about = {"thing_id": thing_id, "call": link_id}

    def room(self, _: Lane) -> bool:
        """Return whether the hub has taken most of what came before."""
        return self._client.connected and self._client.session.buffered < ROOM

    def send(self, _: Lane, packet: bytes) -> None:
        """Send a packet; it is kept over breaks of the session, and lost with it."""
        data = binascii.b2a_base64(packet, newline=False).decode()
        self._client.notify(LINK, data=data, **self._about)


def take(link: Link, message: Message) -> None:
    """Hand a packet that came through the hub to its link; what is none is dropped there."""
    try:
        packet = binascii.a2b_base64(message.data if isinstance(message.data, str) else "", strict_mode=True)
    except (binascii.Error, ValueError):
        packet = b"\xff"  # no packet either
    link.receive("hub", packet)
