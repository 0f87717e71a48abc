"""A thing as those see it who use it: an app through the hub, and another thing over their own link."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from plait.wire import messages
from plait.wire.codec import convert
from plait.wire.messages import PropertyState

if TYPE_CHECKING:
    from plait.wire.messages import Message

PATIENCE: Final = 10.0
"""Seconds that a thing has for an answer, unless told otherwise."""


class ConsumedThing(ABC):
    """The interactions of a consumed thing (W3C WoT Scripting API, section 8).

    They raise the typed errors of `plait.wire.errors`: `Offline` where the thing is away and must not be,
    `Timeout` where no answer came in `timeout` seconds, `UnknownAffordance` where there is no such thing, and
    `Forbidden` where it is not allowed.
    """

    async def read(self, name: str, *, timeout: float = PATIENCE) -> Any:  # noqa: ASYNC109 - travels as the deadline
        """Return a property's value: from the thing where it is online, else the last known."""
        return (await self.reading(name, timeout=timeout)).value

    async def reading(
        self,
        name: str,
        *,
        timeout: float = PATIENCE,  # noqa: ASYNC109 - travels as the deadline
    ) -> PropertyState:
        """Return a property's value with the time at which it was true."""
        answer = await self._ask(messages.READ_PROPERTY, timeout, name=name)
        timestamp = messages.now() if answer.timestamp is UNSET else answer.timestamp
        return PropertyState(answer.value, timestamp)

    async def readings(self, *, timeout: float = PATIENCE) -> dict[str, PropertyState]:  # noqa: ASYNC109 - as above
        """Return the last known values of all properties."""
        answer = await self._ask(messages.READ_ALL_PROPERTIES, timeout)
        return convert(answer.value, dict[str, PropertyState], field="/value")

    async def write(
        self,
        name: str,
        value: Any,
        *,
        timeout: float = PATIENCE,  # noqa: ASYNC109 - travels as the deadline
    ) -> Any:
        """Set a property, and return its value as the device has confirmed it.

        Raises:
            InvalidValue: it does not fit.
            ReadOnly: the property cannot be written.
            ActionFailed: the device could not do it.
        """
        plain = msgspec.to_builtins(value, str_keys=True)
        return (await self._ask(messages.WRITE_PROPERTY, timeout, name=name, value=plain)).value

    async def invoke(
        self,
        name: str,
        input: Any = UNSET,  # noqa: A002 - WoT's name for it
        *,
        timeout: float = PATIENCE,  # noqa: ASYNC109 - travels as the deadline
        **arguments: Any,
    ) -> Any:
        """Run an action, and return its output once the device has done it.

        Args:
            name: the action.
            input: its whole input; or else
            arguments: the members of its input: `invoke("blink", times=3)`.
            timeout: seconds; the device does not begin later, either.

        Raises:
            InvalidValue: the input does not fit.
            ActionFailed: the device's own code raised; its words.
            OutcomeUnknown: it may have run.
        """
        if arguments and input is not UNSET:
            raise TypeError("invoke() takes an input or arguments, not both")
        given = arguments or input
        members = {} if given is UNSET else {"input": msgspec.to_builtins(given, str_keys=True)}
        answer = await self._ask(messages.INVOKE_ACTION, timeout, name=name, **members)
        return None if answer.output is UNSET else answer.output

    @abstractmethod
    async def _ask(self, operation: str, patience: float, **members: Any) -> Message:
        """Return the thing's response to a request."""
