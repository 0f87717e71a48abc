"""A thing that echoes on every channel of its calls, over whatever path its connections may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from plait.rtc import IceCandidate, IceServer, PeerConnection, SessionDescription
from plait.thing import Thing

if TYPE_CHECKING:
    from plait.thing.call import Call


class Phone(Thing):
    """Args: `make` makes its connections, as `PeerConnection` does."""

    def __init__(self, make: Any = PeerConnection) -> None:
        super().__init__("urn:dev:phone")
        self.peers: list[PeerConnection] = []
        self.servers: list[Any] = []
        self._make = make
        self._tasks: set[asyncio.Task[None]] = set()

    async def on_call(self, call: Call) -> None:
        self.servers += call.ice_servers
        servers = [IceServer.from_dict(server) for server in call.ice_servers]
        async with self._make(ice_servers=servers) as peer:
            self.peers.append(peer)
            peer.on_ice_candidate = call.send_candidate
            peer.on_data_channel = self._echo_soon
            call.on_candidate = lambda c: peer.add_ice_candidate(c and IceCandidate(c.candidate, c.sdp_mid))
            async for offer in call.offers():
                offer.answer((await peer.accept(SessionDescription("offer", offer.sdp))).sdp)

    def _echo_soon(self, channel: Any) -> None:
        task = asyncio.create_task(self._echo(channel))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _echo(self, channel: Any) -> None:
        async for message in channel:
            await channel.send(message)


async def path_of(peer: PeerConnection) -> tuple[str, str, str]:
    """Return the types of the chosen pair's candidates, and how the relay is reached."""
    report = await peer.stats()
    pair = report["CP"]
    ours, theirs = report[pair["localCandidateId"]], report[pair["remoteCandidateId"]]
    return ours["candidateType"], theirs["candidateType"], ours.get("relayProtocol", "")
