"""What a thing answers to the hub's requests: reads, writes and actions. No I/O here."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from plait.thing.state import state_of
from plait.wire import messages
from plait.wire.errors import (
    ActionFailed,
    Expired,
    OutcomeUnknown,
    PlaitError,
    ReadOnly,
    Timeout,
    UnknownAffordance,
    UnknownOperation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from plait.thing.definition import Action
    from plait.thing.kept.journal import Journal
    from plait.thing.state import Reading
    from plait.thing.thing import Thing
    from plait.wire.messages import Message

REMEMBERED: Final = 256
"""How many results of actions are kept for a request that comes again."""

log = logging.getLogger("plait.thing")


class Answers:
    """Answers one thing's requests.

    Args:
        thing: the thing.

    Attributes:
        journal: where actions are kept over a restart; None to remember them in memory alone.
    """

    def __init__(self, thing: Thing) -> None:
        self.journal: Journal | None = None
        self._thing = thing
        self._state = state_of(thing)
        self._has = thing.definition
        self._writing = {name: asyncio.Lock() for name in self._has.properties}
        self._results: dict[str, asyncio.Future[Any]] = {}  # in the order in which they were asked

    def read(self, request: Message) -> dict[str, Any]:
        """Return the members of the response to a read, as `answer` does for all else."""
        try:
            return _members(self._read("" if request.name is UNSET else request.name))
        except PlaitError as error:
            return {"error": error.problem()}

    async def answer(self, request: Message) -> dict[str, Any]:
        """Return the members of the response to a request; whatever goes wrong becomes its error."""
        name = "" if request.name is UNSET else request.name
        try:
            match request.operation:
                case messages.WRITE_PROPERTY:
                    return _members(await self._write(name, request))
                case messages.INVOKE_ACTION:
                    return {"output": await self._once(name, request)}
                case operation:
                    raise UnknownOperation(f"A thing does not answer `{operation}`", field="/operation")
        except PlaitError as error:
            return {"error": error.problem()}

    def _read(self, name: str) -> Reading:
        self._known("property", name, self._has.properties)
        reading = self._state.reading(name)
        if reading is None:
            raise ActionFailed(f"`{name}` has no value yet", field="/name")
        return reading

    async def _write(self, name: str, request: Message) -> Reading:
        declared = self._known("property", name, self._has.properties)
        if declared.read_only:
            raise ReadOnly(f"`{name}` cannot be written", field="/name")
        value = declared.kind.load(None if request.value is UNSET else request.value, "/value")
        async with self._writing[name]:
            before = self._state.reading(name)
            hook = getattr(self._thing, f"set_{declared.attribute}", None)
            left = None
            if hook is not None:
                left = await self._run(f"set_{declared.attribute}", partial(hook, value), request.deadline)
            if left is not None or self._state.reading(name) is before:
                self._report(name, value if left is None else left)
            return self._read(name)

    def _report(self, name: str, value: Any) -> None:
        try:
            self._state.report(name, value)
        except PlaitError as error:  # the value that the hook made, not the one that was asked for
            raise ActionFailed(str(error)) from error

    async def _once(self, name: str, request: Message) -> Any:
        """Do an action, once for each message id; a request that comes again gets the same result."""
        key = str(request.message_id)
        result = self._results.get(key)
        if result is not None:
            return await asyncio.shield(result)
        action = self._known("action", name, self._has.actions)
        call = action.bind(self._thing, request.input)
        result = self._results[key] = asyncio.get_running_loop().create_future()
        self._forget()
        try:
            output = await self._journaled(action, key, call, request.deadline)
        except PlaitError as error:
            result.set_exception(error)
            result.exception()  # that nobody asks again is no fault
            raise
        except BaseException:  # the thing is served no more: the action was stopped
            result.cancel()
            raise
        result.set_result(output)
        return output

    async def _journaled(self, action: Action, key: str, call: partial[Any], deadline: datetime | Any) -> Any:
        """Do an action; over restarts once, where there is a journal and doing it twice would matter."""

        async def act() -> Any:
            return self._output(action, await self._run(action.name, call, deadline))

        if self.journal is None or action.terms.idempotent or action.terms.safe:
            return await act()
        return await self.journal.once(key, act)

    @staticmethod
    def _output(action: Action, returned: Any) -> Any:
        if action.output is None:
            return None
        try:
            return action.output.dump(returned, "/output")[1]
        except PlaitError as error:
            raise ActionFailed(f"`{action.name}` gave something else than it declares: {error}") from error

    def _forget(self) -> None:
        """Keep so many results, and all actions that still run."""
        done = (key for key, result in self._results.items() if result.done())
        for key in list(islice(done, max(0, len(self._results) - REMEMBERED))):
            del self._results[key]

    async def _run(self, name: str, call: partial[Any], deadline: datetime | Any) -> Any:
        """Run the device's own code to its deadline; async on the loop, else in a thread.

        Raises:
            Expired: the deadline has passed already: it was not run.
            Timeout: it was stopped at its deadline.
            OutcomeUnknown: it still runs, in its thread, beyond its deadline.
            ActionFailed: it raised.
        """
        left = None if deadline is UNSET else (deadline - self._state.clock.hub()).total_seconds()
        if left is not None and left <= 0:
            raise Expired(f"`{name}` was asked {-left:.1f} s too late")
        threaded = not inspect.iscoroutinefunction(call.func)
        try:
            async with asyncio.timeout(left) as limit:
                result = await (_in_thread(call) if threaded else call())
                # A decorator may hide that a method is async.
                return await result if inspect.isawaitable(result) else result
        except PlaitError:
            raise
        except Exception as error:
            if limit.expired() and threaded:
                raise OutcomeUnknown(f"`{name}` had not finished by its deadline, and goes on") from error
            if limit.expired():
                raise Timeout(f"`{name}` was stopped at its deadline") from error
            log.exception("%s.%s() failed", type(self._thing).__name__, name)
            raise ActionFailed(str(error) or type(error).__name__) from error

    def _known(self, what: str, name: str, among: Mapping[str, Any]) -> Any:
        try:
            return among[name]
        except KeyError:
            raise UnknownAffordance(f"{self._thing.title} has no {what} `{name}`", field="/name") from None


def _members(reading: Reading) -> dict[str, Any]:
    return {"value": reading.data, "timestamp": reading.timestamp}


async def _in_thread(call: partial[Any]) -> Any:
    """Run blocking code in a thread of its own, which does not keep the program from ending."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if result.done():  # its deadline passed
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)

    def work() -> None:
        value, failure = None, None
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, as the loop's own executor does
            failure = error
        try:
            loop.call_soon_threadsafe(settle, value, failure)
        except RuntimeError:  # the loop has ended: nobody waits
            return

    context = contextvars.copy_context()
    name = f"plait {call.func.__name__}"
    threading.Thread(target=context.run, args=(work,), name=name, daemon=True).start()
    return await result
