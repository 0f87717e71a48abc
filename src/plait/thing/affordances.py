"""What a thing offers: `prop`, `action` and `event`, written as attributes of a `Thing` class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import msgspec

from plait.thing.state import state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from plait.thing.thing import Thing
    from plait.thing.values import Kind

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

MARK = "__plait_action__"
"""The attribute of a function that `@action` leaves its options in."""

ABSENT: Any = msgspec.UNSET
"""No value was given."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a programmer may say of any affordance beside its types.

    Attributes:
        name: the name on the wire, where the attribute's own does not do.
        title: for people; made from the name where absent.
        description: a sentence for people.
        unit: of the value, such as `degreeCelsius` or `percent`.
        types: WoT `@type` terms.
    """

    name: str | None = None
    title: str | None = None
    description: str = ""
    unit: str | None = None
    types: tuple[str, ...] = ()

    def members(self, title: str, description: str = "") -> dict[str, Any]:
        """Return the members of the description that say this."""
        return {
            "@type": list(self.types) or None,
            "title": self.title or title,
            "description": self.description or description,
            "unit": self.unit,
        }


class Prop:
    """A property: reading the attribute gives the last value, assigning to it reports a new one.

    `prop` makes these. `name` and `kind` are there once the class is complete.
    """

    name: str
    kind: Kind

    def __init__(self, terms: Terms, *, default: Any = ABSENT, read_only: bool = False) -> None:
        self.terms = terms
        self.default = default
        self.read_only = read_only
        self.attribute = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute
        self.name = self.terms.name or attribute

    def __get__(self, thing: Thing | None, owner: type) -> Any:
        if thing is None:
            return self
        reading = state_of(thing).reading(self.name)
        if reading is None:
            raise AttributeError(f"{owner.__name__}.{self.attribute} has no value yet")
        return reading.value

    def __set__(self, thing: Thing, value: Any) -> None:
        state_of(thing).report(self.name, value)


@overload
def prop(
    default: T,
    *,
    title: str | None = None,
    description: str = "",
    unit: str | None = None,
    readonly: bool = False,
    types: Sequence[str] = (),
    name: str | None = None,
) -> T: ...


@overload
def prop(
    *,
    title: str | None = None,
    description: str = "",
    unit: str | None = None,
    readonly: bool = False,
    types: Sequence[str] = (),
    name: str | None = None,
) -> Any: ...


def prop(
    default: Any = ABSENT,
    *,
    title: str | None = None,
    description: str = "",
    unit: str | None = None,
    readonly: bool = False,
    types: Sequence[str] = (),
    name: str | None = None,
) -> Any:
    """Declare a property of a `Thing`.

    As in `on: bool = prop(False, title="Power")`.
    The annotation is its type; without one, the type of the default. Apps see every value that is assigned,
    with the time of the assignment. Assign a list or dict anew where it changes: a change inside is not seen.

    Args:
        default: its value when the thing starts; absent, it has none until one is assigned.
        title: its name for people.
        description: a sentence for people.
        unit: such as `degreeCelsius`, `percent`, `lux`.
        readonly: apps cannot write it.
        types: WoT `@type` terms.
        name: its name on the wire, where it is not a Python identifier or is one of `Thing`'s own.
    """
    terms = Terms(name=name, title=title, description=description, unit=unit, types=tuple(types))
    return Prop(terms, default=default, read_only=readonly)


class ActionTerms(Terms, frozen=True, kw_only=True):
    """What `@action` was told.

    Attributes:
        safe: it changes nothing.
        idempotent: doing it twice is doing it once.
    """

    safe: bool = False
    idempotent: bool = False


@overload
def action(function: F, /) -> F: ...


@overload
def action(
    *,
    title: str | None = None,
    description: str = "",
    types: Sequence[str] = (),
    safe: bool = False,
    idempotent: bool = False,
    name: str | None = None,
) -> Callable[[F], F]: ...


def action(
    function: F | None = None,
    /,
    *,
    title: str | None = None,
    description: str = "",
    types: Sequence[str] = (),
    safe: bool = False,
    idempotent: bool = False,
    name: str | None = None,
) -> F | Callable[[F], F]:
    """Declare a method of a `Thing` as an action: `@action` or `@action(title="…")`.

    The parameters' hints are its input (an object of them; one positional-only parameter is the whole input),
    the return hint its output, the docstring's first paragraph its description. It may be `async`; if it is
    not, it runs in a thread. What it raises is told to the caller as `action-failed`.

    Args:
        function: the method.
        title: its name for people.
        description: instead of the docstring.
        types: WoT `@type` terms.
        safe: it changes nothing.
        idempotent: doing it twice is doing it once.
        name: its name on the wire.
    """
    terms = ActionTerms(
        name=name,
        title=title,
        description=description,
        types=tuple(types),
        safe=safe,
        idempotent=idempotent,
    )

    def mark(marked: F) -> F:
        setattr(marked, MARK, terms)
        return marked

    return mark if function is None else mark(function)


class Event(Generic[T]):
    """An event of a class; on an instance, its `Emitter`. `event` makes these."""

    name: str
    kind: Kind | None

    def __init__(self, hint: Any, terms: Terms) -> None:
        self.hint = hint
        self.terms = terms
        self.attribute = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute
        self.name = self.terms.name or attribute

    @overload
    def __get__(self, thing: None, owner: type) -> Event[T]: ...

    @overload
    def __get__(self, thing: Thing, owner: type) -> Emitter[T]: ...

    def __get__(self, thing: Thing | None, owner: type) -> Event[T] | Emitter[T]:
        return self if thing is None else Emitter(thing, self)


class Emitter(Generic[T]):
    """An event of one thing."""

    def __init__(self, thing: Thing, of: Event[T]) -> None:
        self._thing = thing
        self._event = of

    @overload
    def emit(self: Emitter[None]) -> None: ...

    @overload
    def emit(self, data: T) -> None: ...

    def emit(self, data: Any = None) -> None:
        """Tell everybody who listens, now. From any thread; it never waits.

        Raises:
            InvalidValue: the data is not of the event's type.
        """
        state_of(self._thing).emit(self._event.name, data)


@overload
def event(*, title: str | None = None, description: str = "", types: Sequence[str] = ()) -> Event[None]: ...


@overload
def event(
    data: type[T],
    *,
    title: str | None = None,
    description: str = "",
    unit: str | None = None,
    types: Sequence[str] = (),
    name: str | None = None,
) -> Event[T]: ...


@overload
def event(
    data: Any,
    *,
    title: str | None = None,
    description: str = "",
    unit: str | None = None,
    types: Sequence[str] = (),
    name: str | None = None,
) -> Event[Any]: ...


def event(
    data: Any = None,
    *,
    title: str | None = None,
    description: str = "",
    unit: str | None = None,
    types: Sequence[str] = (),
    name: str | None = None,
) -> Any:
    """Declare an event of a `Thing`.

    As in `overheated = event(float)`; then `self.overheated.emit(81.5)`.

    Args:
        data: the type of what it carries; absent, it carries nothing.
        title: its name for people.
        description: a sentence for people.
        unit: of the data.
        types: WoT `@type` terms.
        name: its name on the wire.
    """
    return Event(data, Terms(name=name, title=title, description=description, unit=unit, types=tuple(types)))
