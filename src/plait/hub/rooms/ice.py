"""STUN and TURN servers for the ends of calls and links: fresh ones when ICE restarts, gone with the call.

opened ──servers, candidates──▶ over: the call's relays end
                                └── a link that lost its route: only if nobody opens it again in time
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import UNSET

from plait.hub.contracts import Operation, Quiet, call_key, link_key
from plait.wire.errors import InvalidMessage
from plait.wire.messages import ICE_SERVERS, new_id, response

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from plait.hub.contracts import Client
    from plait.wire.messages import Message

_LENT_FOR: Final = 60.0
"""Seconds for which servers are lent to somebody who is in no call."""

_MOST_CANDIDATES: Final = 64
"""Candidates of one signal that are looked at."""

# RFC 8839, section 5.1: foundation, component, transport, priority, address, port.
_CANDIDATE: Final = re.compile(
    r"candidate:[^\s]{1,64} \d{1,5} udp \d{1,10} ([0-9A-Fa-f:.]{2,45}) (\d{1,5}) typ ", re.IGNORECASE
)


class RelayServer(Protocol):
    """A TURN server, or several that share a secret."""

    def given(self, call: str, thing: str, end: Client) -> list[dict[str, Any]]:
        """Return it as W3C `RTCIceServer` objects, with credentials for this end of this call."""

    def permit(self, call: str, end: Client, address: str, port: int) -> None:
        """Let relays of this end of the call send to that address."""

    def end_call(self, call: str) -> None:
        """End the relays of this call."""


@dataclass(slots=True)
class _Call:
    thing: str
    ends: tuple[Client, Client]
    tag: str = field(default_factory=new_id)  # what TURN servers know it by: an app may choose its id
    ending: asyncio.TimerHandle | None = None

    @property
    def who(self) -> tuple[str, ...]:
        return (self.thing, *(str(end.principal) for end in self.ends))


class IceServers(Quiet):
    """Implements `contracts.CallServers`, and answers `iceservers`.

    Args:
        fixed: W3C `RTCIceServer` objects that everybody is given as they are.
        relays: TURN servers that take credentials of the hub's.
    """

    def __init__(self, fixed: Sequence[dict[str, Any]], relays: Sequence[RelayServer] = ()) -> None:
        self._fixed = list(fixed)
        self._relays = list(relays)
        self._calls: dict[str, _Call] = {}
        self.operations = (Operation("request", ICE_SERVERS, self._answer, session=True),)

    # For the rooms of calls and links

    def opened(self, call: str, thing: str, ends: tuple[Client, Client]) -> None:
        """Note who is in a call, or in it again."""
        known, before = _Call(thing, ends), self._calls.get(call)
        if before is not None and before.who == known.who:
            known.tag = before.tag  # relays that stand go on
            if before.ending is not None:
                before.ending.cancel()
        else:
            self.over(call)
        self._calls[call] = known

    def servers(self, call: str, end: Client) -> list[dict[str, Any]]:
        """Return W3C `RTCIceServer` objects for one end of a call that is open."""
        known = self._calls[call]
        relays = (server for relay in self._relays for server in relay.given(known.tag, known.thing, end))
        return [*self._fixed, *relays]

    def heard(self, call: str, end: Client, signal: Any) -> None:
        """Let the other end's relays send to the candidates in a signal of this end's."""
        known = self._calls.get(call)
        if known is None or not self._relays:
            return
        other = known.ends[0] if end is known.ends[1] else known.ends[1]
        for address, port in candidates(signal):
            for relay in self._relays:
                relay.permit(known.tag, other, address, port)

    def over(self, call: str, *, back_within: float = 0.0) -> None:
        """Note that a call is over: its relays end, at once or unless it is opened again in these seconds."""
        known = self._calls.get(call)
        if known is None:
            return
        if known.ending is not None:
            known.ending.cancel()
        if back_within:
            known.ending = asyncio.get_running_loop().call_later(back_within, self.over, call)
            return
        del self._calls[call]
        for relay in self._relays:
            relay.end_call(known.tag)

    def lend(self, end: Client) -> list[dict[str, Any]]:
        """Return servers for somebody in no call; his relays reach each other for a minute."""
        call = new_id()
        self.opened(call, "", (end, end))
        given = self.servers(call, end)
        self.over(call, back_within=_LENT_FOR)
        return given

    def close(self) -> None:
        """End all calls: the hub stops."""
        for call in list(self._calls):
            self.over(call)

    # Operations

    def _answer(self, client: Client, message: Message) -> Message:
        asked = "" if message.call is UNSET else message.call
        for call in (call_key(asked), link_key(asked)):
            known = self._calls.get(call)
            # A link without a route has nobody in it until it is opened again.
            if known is not None and known.ending is None and client in known.ends:
                return response(message, output={"iceServers": self.servers(call, client)})
        raise InvalidMessage("no such call or link of this client", field="/call")


def candidates(signal: Any) -> Iterator[tuple[str, int]]:
    """Yield address and port of the UDP candidates in an offer, an answer or a candidate.

    What is written otherwise than RFC 8839 has it is passed over, and so are names (`.local`) and what no
    packet can be sent to.
    """
    if not isinstance(signal, dict):
        return
    text = signal.get("sdp", signal.get("candidate"))
    if not isinstance(text, str):
        return
    for found in islice(_CANDIDATE.finditer(text), _MOST_CANDIDATES):
        try:
            address = ipaddress.ip_address(found[1])
        except ValueError:
            continue
        address = getattr(address, "ipv4_mapped", None) or address  # RFC 4291, section 2.5.5.2
        port = int(found[2])
        if 0 < port < 1 << 16 and not (address.is_multicast or address.is_unspecified):
            yield str(address), port
