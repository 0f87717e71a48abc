"""Values between Python and the wire: one hint gives the data schema, the check, and both conversions."""

from __future__ import annotations

import inspect
import sys
import typing
from types import SimpleNamespace
from typing import Any

import msgspec

from plait.wire.errors import InvalidValue
from plait.wire.schema import schema_of

if typing.TYPE_CHECKING:
    from plait.wire.schema import Schema


class Kind:
    """The type of a value that travels.

    Attributes:
        hint: the Python type hint.
        schema: its data schema in a Thing Description.

    Raises:
        TypeError: the hint has no data schema.
    """

    def __init__(self, hint: Any) -> None:
        self.hint = hint
        self.schema: Schema = schema_of(hint)
        self._decoder = msgspec.json.Decoder(hint)

    def load(self, data: Any, field: str) -> Any:
        """Return the Python value of plain data that came in.

        Raises:
            InvalidValue: it does not fit; `field` is prefixed to where in it.
        """
        try:
            return msgspec.convert(data, self.hint)
        except msgspec.ValidationError as error:
            raise _invalid(error, field) from None

    def dump(self, value: Any, field: str) -> tuple[Any, Any]:
        """Return a Python value made here as it is kept (of the hint's type), and as plain data for the wire.

        It goes through JSON, so that what JSON lacks (not a number, infinity) is found here, not by the hub.

        Raises:
            InvalidValue: it does not fit.
        """
        try:
            encoded = msgspec.json.encode(value)
            return self._decoder.decode(encoded), msgspec.json.decode(encoded)
        except msgspec.ValidationError as error:
            raise _invalid(error, field) from None
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidValue(str(error), field=field) from None


def resolve(owner: type, hint: Any) -> Any:
    """Return a class attribute's annotation as a type; `from __future__ import annotations` leaves a string.

    Raises:
        TypeError: a name in it is not known where the class is defined.
    """
    return resolve_all(owner, {"hint": hint})["hint"]


def resolve_all(owner: type, hints: dict[str, Any]) -> dict[str, Any]:
    """Resolve several annotations of one class; see `resolve`."""
    module = sys.modules.get(owner.__module__)
    try:
        return typing.get_type_hints(
            SimpleNamespace(__annotations__=hints),
            globalns=vars(module) if module is not None else {},
            include_extras=True,
        )
    except NameError as error:
        raise TypeError(f"its type hint cannot be resolved: {error}") from error


def summary(documented: Any) -> str:
    """Return the first paragraph of a docstring as one line."""
    text = inspect.cleandoc(documented.__doc__ or "")
    return " ".join(text.partition("\n\n")[0].split())


def humane(name: str) -> str:
    """Return an identifier as a title: `set_point` → `Set point`, `HallLamp` → `Hall lamp`."""
    words = "".join(
        f" {letter}" if letter.isupper() and not before.isupper() else letter
        for before, letter in zip(" " + name, name, strict=False)
    )
    text = " ".join(words.replace("_", " ").split()).lower()
    return text[:1].upper() + text[1:]


def _invalid(error: msgspec.ValidationError, field: str) -> InvalidValue:
    """Turn msgspec's path (`Expected `int` - at `$.room[2].x``) into a JSON pointer."""
    text, _, path = str(error).partition(" - at `$")
    steps = path.rstrip("`").replace("[", ".").replace("]", "").split(".")
    return InvalidValue(text, field=field + "".join(f"/{step}" for step in steps if step))
