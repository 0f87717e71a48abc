"""Python type hints as data schemas of TD 1.1 (section 5.3.2).

msgspec makes a JSON Schema (2020-12) of every type that it can decode. TD's vocabulary is a part of an older
draft: no references, `oneOf` for every union, `items` for the places of a tuple.
"""

from __future__ import annotations

import enum
import typing
from typing import Any, Final

import msgspec

Schema = dict[str, Any]
"""A data schema: `{}` is any value."""

_KEPT: Final = frozenset(
    {
        *("type", "enum", "const", "default", "title", "description", "unit", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType"),
        *("minItems", "maxItems", "required", "readOnly", "writeOnly", "@type"),
    }
)
"""The terms of TD 1.1 that mean there what they mean in JSON Schema and hold no schema themselves."""

_REFERENCE: Final = "#/$defs/"


def schema_of(hint: Any) -> Schema:
    """Return the data schema of the values that a type hint allows.

    Args:
        hint: any type that msgspec decodes: bool, int, float, str, bytes, None, Any, lists, dicts, tuples,
            `Literal`, enums, `msgspec.Struct`, dataclasses, TypedDict, unions, and
            `Annotated[..., msgspec.Meta(...)]` of these.

    Raises:
        TypeError: the hint has no data schema; the text says why.
    """
    try:
        schema = msgspec.json.schema(hint)
    except TypeError as error:
        raise TypeError(f"{_name(hint)} has no JSON form ({_reason(error)})") from error
    reducer = _Reducer(schema.pop("$defs", {}), _choices(hint))
    return reducer.reduce(schema)


class _Reducer:
    """Rewrites one JSON Schema in TD's vocabulary.

    Args:
        definitions: what `$ref` points to, by name.
        choices: the values of each enumeration in the order in which the programmer wrote them.
    """

    def __init__(self, definitions: dict[str, Schema], choices: dict[frozenset[Any], list[Any]]) -> None:
        self._definitions = definitions
        self._choices = choices
        self._open: list[str] = []

    def reduce(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        if reference is not None:
            return self._inline(reference.removeprefix(_REFERENCE)) | self._kept(schema)
        reduced = self._kept(schema)
        if "enum" in reduced:
            values: list[Any] = reduced["enum"]
            reduced |= _listed(self._choices.get(_set(values), values))
        if "anyOf" in schema:
            branches = _disjoint([self.reduce(branch) for branch in schema["anyOf"]])
            reduced |= branches[0] if len(branches) == 1 else {"oneOf": branches}
        if "properties" in schema:
            reduced["properties"] = {name: self.reduce(part) for name, part in schema["properties"].items()}
        if "prefixItems" in schema:
            reduced["items"] = [self.reduce(part) for part in schema["prefixItems"]]
        elif isinstance(schema.get("items"), dict):
            reduced["items"] = self.reduce(schema["items"])
        return reduced

    def _inline(self, name: str) -> Schema:
        if name in self._open:
            raise TypeError(f"{name} refers to itself, which a Thing Description cannot say")
        self._open.append(name)
        schema = dict(self._definitions[name])
        if schema.get("title") == name:  # the name of a Python class means nothing to the user of a device
            del schema["title"]
        inlined = self.reduce(schema)
        self._open.pop()
        return inlined

    @staticmethod
    def _kept(schema: Schema) -> Schema:
        return {
            term: value
            for term, value in schema.items()
            if term in _KEPT and not (term == "required" and not value)
        }


def _disjoint(branches: list[Schema]) -> list[Schema]:
    """Make exactly one branch match each value, as `oneOf` demands.

    msgspec keeps the branches of a union apart by JSON type, or by tag. What may still overlap is numbers
    (`int | float`), which become the widest of their types, and listed values (`Literal[1] | int`), of which
    those of another branch's type go.
    """
    listed = [branch for branch in branches if "enum" in branch]
    typed = [branch for branch in branches if "enum" not in branch]
    kinds = {branch["type"] for branch in typed if "type" in branch}
    numeric = kinds & {"integer", "number"}
    widen = len(numeric) == 2
    for branch in listed:
        kept = [
            value
            for value in branch["enum"]
            if _kind(value) not in kinds and not (_is_int(value) and numeric)
        ]
        widen = widen or (bool(numeric) and any(_is_int(value) for value in branch["enum"]))
        if kept:
            typed.append(branch | _listed(kept))
    if not widen:
        return typed
    widest = "number" if "number" in numeric else "integer"
    return [{"type": widest}, *(branch for branch in typed if branch.get("type") not in numeric)]


def _listed(values: list[Any]) -> Schema:
    """Return the schema of these values, with their type where they share one."""
    kinds = {_kind(value) for value in values}
    return {"enum": values, **({"type": kinds.pop()} if len(kinds) == 1 else {})}


def _choices(hint: Any) -> dict[frozenset[Any], list[Any]]:
    """Find the enumerations in a hint: msgspec sorts their values, and people order theirs with a meaning."""
    found: dict[frozenset[Any], list[Any]] = {}
    seen: set[int] = set()
    waiting = [hint]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        values: list[Any] = []
        if typing.get_origin(part) is typing.Literal:
            values = list(typing.get_args(part))
        elif isinstance(part, type) and issubclass(part, enum.Enum):
            values = [member.value for member in part]
        elif isinstance(part, type) and hasattr(part, "__annotations__"):
            waiting += typing.get_type_hints(part, include_extras=True).values()
        else:
            waiting += typing.get_args(part)
        if values:
            found[_set(values)] = values
    return found


def _set(values: list[Any]) -> frozenset[Any]:
    return frozenset((type(value), value) for value in values)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return "integer" if _is_int(value) else "string"


def _is_int(value: Any) -> bool:
    return isinstance(value, int)


def _name(hint: Any) -> str:
    return f"`{hint.__name__ if isinstance(hint, type) else hint}`"


def _reason(error: TypeError) -> str:
    """Return msgspec's reason in a line; its advice on custom types is for those who call it themselves."""
    text = str(error).splitlines()[0]
    return "not a type that msgspec knows" if text.startswith("Generating JSON schema") else text
