"""Calls at a thing: the signals of a viewer, for whoever builds the peer connection.

    class Door(Thing):
        async def on_call(self, call: Call) -> None:
            async with PeerConnection(…) as peer:
                peer.on_ice_candidate = call.send_candidate
                call.on_candidate = …
                async for offer in call.offers():
                    offer.answer((await peer.accept(…)).sdp)

`on_call` runs for as long as the call lasts: `offers` ends when the viewer says bye, and when `on_call`
returns, or raises, the thing says bye. This module knows nothing of WebRTC, so a thing without media needs no
engine.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.transport.signaling import Candidate, Offer, Signaling
from plait.wire.errors import ActionFailed, InvalidMessage, PlaitError, UnknownOperation
from plait.wire.messages import ICE_SERVERS, SIGNAL

if TYPE_CHECKING:
    from plait.thing.thing import Thing
    from plait.transport.client import Client
    from plait.wire.messages import Message

__all__ = ["Call", "Calls", "Candidate", "Offer"]

TAKEN_UP_WITHIN: Final = 30.0
"""Seconds from a new session to the first signal of a call that the old one carried."""

log = logging.getLogger("plait.thing")


class Call(Signaling):
    """A viewer's call to this thing; see `plait.transport.signaling.Signaling` for the rest."""

    async def refuse(self, reason: str) -> None:
        """Answer the first offer with an error, and end the call."""
        async for offer in self.offers():
            offer.refuse(UnknownOperation(reason))
            break
        await self.refuse_open(UnknownOperation(reason))


class Calls:
    """The calls of one thing.

    Args:
        thing: its `on_call` takes each call.
        client: carries the signals.
    """

    def __init__(self, thing: Thing, client: Client) -> None:
        self._thing = thing
        self._client = client
        self._calls: dict[str, Call] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._adrift: dict[str, asyncio.TimerHandle] = {}

    async def answer(self, asked: Message) -> dict[str, Any]:
        """Return the members of the response to an offer, the first of a call or a later one."""
        try:
            if asked.call is UNSET or not isinstance(asked.data, dict):
                raise InvalidMessage("A signal names its `call` and holds `data`", field="/call")
            self._taken_up(asked.call)
            call = self._calls.get(asked.call) or self._begin(asked.call, asked.data)
            return {"call": asked.call, "output": await call.take_offer(asked.data)}
        except PlaitError as error:
            return {"call": asked.call, "error": error.problem()}

    def take(self, told: Message) -> None:
        """Take a candidate or a bye; of a call that is not known, it is late and means nothing."""
        self._taken_up(str(told.call))
        call = self._calls.get(str(told.call))
        if call is not None:
            call.take(told.data)

    def adrift(self) -> None:
        """The session that carried their signals has ended, the hub's restart for example.

        What they have open goes on: a call ends where its viewer does not take it up again in time.
        """
        loop = asyncio.get_running_loop()
        for call_id, call in self._calls.items():
            self._taken_up(call_id)
            self._adrift[call_id] = loop.call_later(
                TAKEN_UP_WITHIN, call.lose, "the connection to the hub was lost"
            )

    def _taken_up(self, call_id: str) -> None:
        timer = self._adrift.pop(call_id, None)
        if timer is not None:
            timer.cancel()

    async def close(self) -> None:
        """End all calls and wait until their handlers have cleaned up."""
        for call in tuple(self._calls.values()):
            call.bye("the device stops")
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, call_id: str, data: dict[str, Any]) -> Call:
        servers = data.get("iceServers")
        call = Call(
            call_id,
            ice_servers=servers if isinstance(servers, list) else (),
            ask=partial(self._ask, call_id),
            tell=partial(self._tell, call_id),
            renew=partial(self._ask_servers, call_id),
        )
        self._calls[call_id] = call
        self._tasks[call_id] = asyncio.create_task(self._run(call), name=f"call {call_id}")
        return call

    async def _ask(self, call_id: str, data: dict[str, Any]) -> Any:
        answer = await self._client.request(SIGNAL, thing_id=self._thing.id, call=call_id, data=data)
        return answer.output

    async def _ask_servers(self, call_id: str) -> Any:
        return (await self._client.request(ICE_SERVERS, call=call_id)).output

    def _tell(self, call_id: str, data: dict[str, Any]) -> None:
        with suppress(
            PlaitError
        ):  # the client is closed or full: the hub says bye to the viewer when we are gone
            self._client.notify(SIGNAL, thing_id=self._thing.id, call=call_id, data=data)

    async def _run(self, call: Call) -> None:
        reason = ""
        try:
            await self._thing.on_call(call)
        except PlaitError as error:
            reason = str(error)
            await call.refuse_open(error)
        except Exception as error:
            log.exception("%s.on_call() failed", type(self._thing).__name__)
            reason = str(error) or type(error).__name__
            await call.refuse_open(ActionFailed(reason))
        finally:
            call.bye(reason)
            self._taken_up(call.id)
            del self._calls[call.id], self._tasks[call.id]
