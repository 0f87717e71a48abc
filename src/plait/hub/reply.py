"""An answer that comes later, handed on the moment it comes.

asyncio's futures and tasks run what waits for them in the loop's next round. A command passes three such
places on its way through the hub, and each round costs a system call and some bookkeeping: half of what the
hub does for a command. A `Reply` calls at once, and `start` runs a coroutine that awaits replies, and nothing
else, without a task.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")


class Reply(Generic[T]):
    """A value, or an error, that is there once: the first of `set` and `fail` counts.

    Attributes:
        done: whether it is there.
    """

    __slots__ = ("_callbacks", "_error", "_value", "done")

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Reply[T]], None]] = []

    def set(self, value: T) -> None:
        """Give the value."""
        if not self.done:
            self._value = value
            self._end()

    def fail(self, error: BaseException) -> None:
        """Give the error instead."""
        if not self.done:
            self._error = error
            self._end()

    def _end(self) -> None:
        self.done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def then(self, callback: Callable[[Reply[T]], None]) -> None:
        """Call when it is done: at once, where it is."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def result(self) -> T:
        """Return the value, or raise the error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._value)

    def __await__(self) -> Generator[Reply[T], None, T]:
        """Wait, inside of a coroutine that `start` runs."""
        if not self.done:
            yield self
        return self.result()

    def future(self) -> asyncio.Future[T]:
        """Return what a task of asyncio can await."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def hand_over(reply: Reply[T]) -> None:
            if future.done():
                return
            if reply._error is None:
                future.set_result(reply.result())
            else:
                future.set_exception(reply._error)

        self.then(hand_over)
        return future


def start(coroutine: Coroutine[Reply[Any], None, T]) -> Reply[T]:
    """Run a coroutine, which may await replies only, as far as it gets now; return its own reply."""
    reply: Reply[T] = Reply()

    def step(_: object = None) -> None:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as end:
            reply.set(end.value)
        except Exception as error:  # noqa: BLE001 - it is the reply
            reply.fail(error)
        else:
            waits_for.then(step)

    step()
    return reply
