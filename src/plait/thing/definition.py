"""A `Thing` class, read: its properties, actions and events with their types, and every mistake named."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.thing.affordances import ABSENT, MARK, Event, Prop
from plait.thing.errors import DefinitionError
from plait.thing.values import Kind, humane, resolve, resolve_all, summary
from plait.wire.errors import InvalidValue
from plait.wire.schema import schema_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from plait.thing.affordances import ActionTerms

_NAMED: Final = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Action:
    """An action of a class.

    Attributes:
        name: on the wire.
        terms: what `@action` was told.
        description: its description, from the docstring where not given.
        output: the type of its result; None where it gives none.
    """

    def __init__(self, name: str, function: Callable[..., Any], terms: ActionTerms, owner: type) -> None:
        self.name = name
        self.terms = terms
        self.description = terms.description or summary(function)
        self._attribute = function.__name__
        self._fields: Sequence[str] | None
        hints, returned = _signature(function, owner)
        if len(hints) == 1 and hints[0][0].kind is inspect.Parameter.POSITIONAL_ONLY:
            self._fields = None  # the one value is the input
            self.input: Kind | None = Kind(hints[0][1])
        else:
            self._fields = [parameter.name for parameter, _ in hints]
            self.input = Kind(_structure(name, hints)) if hints else None
        self.output = None if returned in (None, type(None)) else Kind(returned)

    def bind(self, thing: Any, data: Any) -> partial[Any]:
        """Return the call of this action with an input from the wire; it may give a coroutine.

        Raises:
            InvalidValue: the input does not fit.
        """
        method = getattr(thing, self._attribute)
        if self.input is None:
            if data not in (ABSENT, None, {}):
                raise InvalidValue(f"`{self.name}` takes no input", field="/input")
            return partial(method)
        if self._fields is None:
            return partial(method, self.input.load(None if data is ABSENT else data, "/input"))
        given = self.input.load({} if data in (ABSENT, None) else data, "/input")
        return partial(method, **{field: getattr(given, field) for field in self._fields})


class Definition:
    """Everything that a class declares, by its name on the wire.

    Args:
        cls: the class.
        base: `Thing`.
        types: its WoT `@type` terms.
        links: its web links.
        context: `@context` entries beside TD's own.

    Raises:
        DefinitionError: an attribute cannot be described.
    """

    def __init__(
        self,
        cls: type,
        base: type,
        *,
        types: Sequence[str] = (),
        links: Sequence[Mapping[str, Any]] = (),
        context: Sequence[Any] = (),
    ) -> None:
        self.types = tuple(types)
        self.links = tuple(links)
        self.context = tuple(context)
        self.description = next(
            (
                summary(part)
                for part in cls.__mro__
                if part is not base and issubclass(part, base) and part.__doc__
            ),
            "",
        )
        self.title = humane(cls.__name__)
        self.properties: dict[str, Prop] = {}
        self.actions: dict[str, Action] = {}
        self.events: dict[str, Event[Any]] = {}
        names: dict[str, str] = {}
        for owner, attribute, value in _declared(cls, base):
            if attribute in vars(base) or attribute in inspect.get_annotations(base):
                raise DefinitionError(
                    cls, attribute, f"this name is Thing's own; write `{attribute}_ = …(name={attribute!r})`"
                )
            name = self._add(owner, attribute, value)
            if names.setdefault(name, attribute) != attribute:
                raise DefinitionError(
                    cls, attribute, f"`{names[name]}` is already named {name!r} on the wire"
                )

    def _add(self, owner: type, attribute: str, value: Any) -> str:
        try:
            if isinstance(value, Prop):
                value.kind = Kind(_hint(owner, attribute, value))
                _check_default(value)
                self.properties[value.name] = value
                return value.name
            if isinstance(value, Event):
                value.kind = None if value.hint is None else Kind(resolve(owner, value.hint))
                self.events[value.name] = value
                return value.name
            terms, function = value
            action = Action(terms.name or attribute, function, terms, owner)
        except (TypeError, InvalidValue) as error:
            raise DefinitionError(owner, attribute, str(error)) from error
        self.actions[action.name] = action
        return action.name


def _declared(cls: type, base: type) -> Iterator[tuple[type, str, Any]]:
    """Yield what the classes declare: (owner, attribute, Prop | Event | (terms, function)).

    An attribute that a subclass overrides comes once, as the subclass has it and in its first place; an
    action that is overridden without the decorator stays one.
    """
    found: dict[str, tuple[type, Any]] = {}
    for owner in reversed(cls.__mro__):
        if not issubclass(owner, base) or owner is base:
            continue
        for attribute, value in vars(owner).items():
            terms = getattr(value, MARK, None)
            before = found.get(attribute)
            if isinstance(value, (Prop, Event)):
                found[attribute] = owner, value
            elif terms is not None:
                found[attribute] = owner, (terms, value)
            elif before is not None and isinstance(before[1], tuple) and inspect.isfunction(value):
                found[attribute] = owner, (before[1][0], value)
            elif before is not None:
                raise DefinitionError(
                    owner,
                    attribute,
                    f"{before[0].__name__} declares it; declare it with prop, action or event again",
                )
    for attribute, (owner, value) in found.items():
        yield owner, attribute, value


def _hint(owner: type, attribute: str, declared: Prop) -> Any:
    for part in owner.__mro__:
        annotations: Mapping[str, Any] = inspect.get_annotations(part)
        if attribute in annotations:
            return resolve(owner, annotations[attribute])
    if declared.default is ABSENT or declared.default is None:
        raise TypeError("it needs a type hint, such as `on: bool = prop(False)`")
    return type(declared.default)


def _check_default(declared: Prop) -> None:
    if declared.default is ABSENT:
        return
    try:
        declared.kind.dump(declared.default, "")
    except InvalidValue as error:
        raise TypeError(f"its default {declared.default!r} does not fit its type: {error}") from error


def _signature(function: Any, owner: type) -> tuple[list[tuple[inspect.Parameter, Any]], Any]:
    if not inspect.isfunction(function):
        raise TypeError("an action is a plain method with `self`")
    parameters = list(inspect.signature(function).parameters.values())[1:]
    hints = resolve_all(owner, inspect.get_annotations(function))
    for parameter in parameters:
        if parameter.kind not in _NAMED and (
            parameter.kind is not inspect.Parameter.POSITIONAL_ONLY or len(parameters) > 1
        ):
            raise TypeError(f"the parameter `{parameter.name}` cannot be filled from a message")
        if parameter.name not in hints:
            raise TypeError(f"its parameter `{parameter.name}` needs a type hint")
        try:
            schema_of(hints[parameter.name])
        except TypeError as error:
            raise TypeError(f"its parameter `{parameter.name}`: {error}") from error
    return [(parameter, hints[parameter.name]) for parameter in parameters], hints.get("return", Any)


def _structure(name: str, hints: list[tuple[inspect.Parameter, Any]]) -> type:
    """Make the type of an action's input: an object of its parameters, and nothing else."""
    fields: list[Any] = []
    for parameter, hint in hints:
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        elif isinstance(parameter.default, (list, dict, set)):
            default = msgspec.field(default_factory=parameter.default.copy)
            fields.append((parameter.name, hint, default))
        else:
            fields.append((parameter.name, hint, parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
