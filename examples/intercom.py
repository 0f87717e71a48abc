"""A thing that takes WebRTC calls: it echoes what comes on a data channel, peer to peer.

PLAIT_TOKEN=$(plait hub token urn:dev:intercom) python intercom.py
"""

import asyncio

from plait.rtc import DataChannel, IceCandidate, PeerConnection, SessionDescription
from plait.thing import Thing
from plait.thing.call import Call, Candidate


class Intercom(Thing):
    """It repeats what it hears."""

    async def on_call(self, call: Call) -> None:
        """Runs for as long as a caller stays; when it returns, the call ends."""
        async with PeerConnection() as peer, asyncio.TaskGroup() as echoes:

            def add(candidate: Candidate | None) -> None:
                peer.add_ice_candidate(candidate and IceCandidate(candidate.candidate, candidate.sdp_mid))

            peer.on_data_channel = lambda channel: echoes.create_task(echo(channel))
            peer.on_ice_candidate = call.send_candidate
            call.on_candidate = add
            async for offer in call.offers():
                answer = await peer.accept(SessionDescription("offer", offer.sdp))
                offer.answer(answer.sdp)
            await peer.close()


async def echo(channel: DataChannel) -> None:
    async for message in channel:
        await channel.send(message)


if __name__ == "__main__":
    Intercom("urn:dev:intercom").run()
