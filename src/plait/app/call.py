"""Calls from an app: WebRTC to a thing, its signals through the hub.

    async with lamp.call() as call:
        channel = await call.channel("control")
        await channel.send("hello")

The first channel or picture that is asked for starts the negotiation; what is asked for in the same breath
goes into the same offer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from msgspec import UNSET

from plait.transport.reconnect import Backoff
from plait.transport.signaling import Candidate, Signaling
from plait.wire import messages
from plait.wire.errors import InvalidMessage, PlaitError, SessionLost

if TYPE_CHECKING:
    from types import TracebackType

    from plait.app.home import Home
    from plait.app.negotiation import Negotiation
    from plait.app.video import Video
    from plait.rtc import DataChannel, PeerConnection, Transceiver
    from plait.transport.connections import State

__all__ = ["Call", "Candidate"]

TAKE_UP_WITHIN: Final = 30.0
"""Seconds from a new session until the thing is at the hub again, or the call is over."""


class Call(Signaling):
    """A call to one thing; enter it with `async with`. `ThingProxy.call` makes one.

    Leaving it says bye and closes the connection. Where the thing refuses, `connected` raises why; so does
    leaving the block, unless something else went wrong in it.

    Attributes:
        id: the call's id, from the hub, once entered.
        ice_servers: STUN and TURN servers as W3C `RTCIceServer` dictionaries.
    """

    def __init__(self, home: Home, thing_id: str) -> None:
        super().__init__("", ask=self._request, tell=self._notify, renew=self._ask_servers)
        self._home = home
        self._thing_id = thing_id
        self._made: Negotiation | None = None
        self._carried = asyncio.Event()  # the hub carries our signals
        self._carried.set()
        self._held: list[dict[str, Any]] = []  # candidates found meanwhile
        self._taking_up: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        answer = await self._home.client.request(messages.OPEN_CALL, thing_id=self._thing_id)
        output = answer.output
        if not isinstance(output, dict) or not isinstance(output.get("call"), str):
            raise InvalidMessage("The hub opened a call without an id", field="/output/call")
        self.id = output["call"]
        self.ice_servers = tuple(output.get("iceServers", ()))
        self._home.enlist(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bye()
        self._home.dismiss(self)
        if self._taking_up is not None:
            self._taking_up.cancel()
        if self._made is None:
            return
        await self._made.close()
        cause = self._made.error
        if cause is not None and error is not cause and self._made.explains(error):
            raise cause from error

    @property
    def peer(self) -> PeerConnection:
        """The peer connection (`plait.rtc`), made when first asked for."""
        return self._negotiation.peer

    async def channel(self, label: str, **options: Any) -> DataChannel:
        """Open a data channel to the thing.

        Args:
            label: what the thing knows it by.
            options: reliability and order, as `PeerConnection.create_data_channel` takes them.

        Raises:
            PlaitError: the thing or the hub refused.
            plait.rtc.RtcError: no path was found, or the call ended.
        """
        return await self._negotiation.channel(label, **options)

    def receive(self, kind: Literal["audio", "video"]) -> Transceiver:
        """Ask for the thing's picture or sound as encoded frames: an async iterator of `EncodedFrame`."""
        return self._negotiation.receive(kind)

    def video(self, *, limit: int = 2) -> Video:
        """Ask for the thing's picture, decoded: an async iterator of `av.VideoFrame`. Needs extra `media`.

        Args:
            limit: how many pictures may wait; where the program is slower, the oldest go.
        """
        from plait.app.video import Video  # noqa: PLC0415 - an app without video needs no PyAV

        return Video(self.receive("video"), limit=limit)

    async def connected(self) -> None:
        """Wait until the thing has answered and the connection stands.

        Raises:
            PlaitError: the thing or the hub refused.
            plait.rtc.PeerClosed: no path was found, or the call ended.
        """
        await self._negotiation.connected()

    @property
    def _negotiation(self) -> Negotiation:
        if self._made is None:
            from plait.app.negotiation import Negotiation  # noqa: PLC0415 - without media, no engine is needed

            self._made = Negotiation(self)
        return self._made

    def moved(self, state: State) -> None:
        """Follow the session: a call outlives it, where both ends are still connected."""
        if state == "closed" or (state == "connected" and self._made is None):
            self.lose("the connection to the hub was lost")
        elif state == "connected":
            self._carried.clear()
            if self._taking_up is not None:
                self._taking_up.cancel()
            self._taking_up = asyncio.create_task(self._take_up(), name=f"call {self.id}")

    async def _take_up(self) -> None:
        """Have the hub carry its signals again, under its old id; end it where that cannot be."""
        backoff = Backoff()
        try:
            async with asyncio.timeout(TAKE_UP_WITHIN):
                while not await self._taken_up():  # noqa: ASYNC110 - each turn asks the hub
                    await asyncio.sleep(backoff.wait())
        except (PlaitError, TimeoutError) as error:
            self.lose(str(error) or "the thing has not come back to the hub")
        finally:
            self._carried.set()

    async def _taken_up(self) -> bool:
        try:
            answer = await self._home.client.request(
                messages.OPEN_CALL, thing_id=self._thing_id, call=self.id
            )
        except PlaitError as error:
            if error.retry:
                return False
            raise
        if not isinstance(answer.output, dict) or answer.output.get("call") != self.id:
            raise InvalidMessage("This hub takes up no calls", field="/output/call")
        self.ice_servers = tuple(answer.output.get("iceServers", ()))
        self._notify({"type": "here"})
        self._carried.set()
        held, self._held = self._held, []
        for candidate in held:
            self._notify(candidate)
        return True

    async def _request(self, data: dict[str, Any]) -> Any:
        while True:
            await self._carried.wait()
            try:
                answer = await self._home.client.request(
                    messages.SIGNAL, thing_id=self._thing_id, call=self.id, data=data
                )
            except SessionLost:
                if self.ended or self._carried.is_set():
                    raise
                continue  # asked again once the call is taken up
            return None if answer.output is UNSET else answer.output

    async def _ask_servers(self) -> Any:
        await self._carried.wait()
        return (await self._home.client.request(messages.ICE_SERVERS, call=self.id)).output

    def _notify(self, data: dict[str, Any]) -> None:
        if not self._carried.is_set() and data.get("type") == "candidate":
            self._held.append(data)
        elif self.id:
            self._home.client.notify(messages.SIGNAL, thing_id=self._thing_id, call=self.id, data=data)
