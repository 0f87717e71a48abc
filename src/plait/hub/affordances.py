"""Reads a Thing Description 1.1 as a hub must: refuses what it could not serve, compiles the data schemas.

TD's data schemas (section 5.3.2) are a part of JSON Schema draft 7 (`items` may be a list there), compiled by
jsonschema-rs. A description comes from a device that may be broken or hostile, so that references are refused
(they could point anywhere, or at themselves), nothing is ever fetched, and patterns match in linear time.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import msgspec
from msgspec import UNSET

from plait.hub.contracts import ThingRecord
from plait.wire.errors import InvalidDescription, InvalidValue
from plait.wire.messages import Presence, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_REFERENCES: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_DEEPEST: Final = 64
"""Levels of a description: more than any real one has, less than any parser's stack."""
_MOST: Final = 1000
"""Affordances of one kind: a bound on what one device can make the hub compile."""
_LONGEST_ID: Final = 512

_TERMS: Final = frozenset(
    {
        *("type", "const", "enum", "oneOf", "format"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "pattern", "contentEncoding", "contentMediaType"),
        *("items", "minItems", "maxItems", "properties", "required"),
        *("allOf", "anyOf", "not", "additionalProperties", "patternProperties", "uniqueItems"),
        *_REFERENCES,
    }
)
"""What constrains a value: TD 1.1's terms (section 5.3.2), and those that JSON Schema has beside them."""

Validator = jsonschema_rs.Draft7Validator


def pointer(*steps: object) -> str:
    """Return a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


class Compiled:
    """An affordance with its data schema compiled.

    Attributes:
        readonly: whether a property cannot be written.
    """

    __slots__ = ("_object", "_validator", "readonly")

    def __init__(self, schema: Mapping[str, Any] | None, where: str, *, readonly: bool = False) -> None:
        self.readonly = readonly
        self._validator = _compile(schema, where)
        self._object = isinstance(schema, dict) and schema.get("type") == "object"

    def check(self, value: Any, member: str) -> None:
        """Raise `InvalidValue` where the value breaks the schema; its field starts with `member`.

        A value that is not there counts as an object without members, or as right where no object is due.
        """
        validator = self._validator
        if validator is None:
            return
        if value is UNSET:
            if not self._object:
                return
            value = {}
        try:
            if validator.is_valid(value):
                return
            error = next(iter(validator.iter_errors(value)))
        except ValueError as reason:  # deeper than the validator goes, or not JSON
            raise InvalidValue(str(reason), field=pointer(member)) from reason
        raise InvalidValue(str(error.message)[:500], field=pointer(member, *_place(error)))


def read_description(description: Any) -> ThingRecord:
    """Return the thing that a description tells of.

    Args:
        description: plain data, from JSON.

    Raises:
        InvalidDescription: `field` is a JSON pointer into the message that carried it as `value`.
    """
    _check_depth(description)
    try:
        error = next(iter(_td_schema().iter_errors(description)), None)
    except ValueError as reason:
        raise _wrong(str(reason)) from reason
    if error is not None:
        raise _wrong(str(error.message)[:500], *_place(error))
    identity = description.get("id")
    if not isinstance(identity, str) or ":" not in identity or not identity.isprintable():
        raise _wrong("a thing of a hub has an id, a URI", "id")
    if len(identity) > _LONGEST_ID:
        raise _wrong(f"has at most {_LONGEST_ID} characters", "id")
    security = description["security"]
    for name in security if isinstance(security, list) else [security]:
        if name not in description["securityDefinitions"]:
            raise _wrong(f"securityDefinitions has no {name!r:.100}", "security")
    for kind in ("properties", "actions", "events"):
        if len(description.get(kind, ())) > _MOST:
            raise _wrong(f"has at most {_MOST} members", kind)
    return ThingRecord(
        id=identity,
        description=description,
        properties=dict(_properties(description)),
        actions=dict(_actions(description)),
        events=dict(_events(description)),
        presence=Presence(state="offline", since=now()),
    )


@lru_cache(maxsize=1)
def _td_schema() -> Validator:
    """Return the W3C's JSON Schema of Thing Descriptions 1.1, which lies beside the wire's reader of them."""
    text = (resources.files("plait.wire") / "td-json-schema-1.1.json").read_bytes()
    return Validator(msgspec.json.decode(text), offline=True)


def _place(error: jsonschema_rs.ValidationError) -> list[object]:
    """Return where an error is: for a member that is missing, where it should be."""
    steps: list[object] = list(error.instance_path)
    if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
        steps.append(error.kind.property)
    return steps


def _properties(description: dict[str, Any]) -> Iterator[tuple[str, Compiled]]:
    for name, affordance in description.get("properties", {}).items():
        where = pointer("value", "properties", name)
        yield name, Compiled(affordance, where, readonly=affordance.get("readOnly", False))


def _actions(description: dict[str, Any]) -> Iterator[tuple[str, Compiled]]:
    for name, affordance in description.get("actions", {}).items():
        yield name, Compiled(affordance.get("input"), pointer("value", "actions", name, "input"))
        Compiled(affordance.get("output"), pointer("value", "actions", name, "output"))


def _events(description: dict[str, Any]) -> Iterator[tuple[str, Compiled]]:
    for name, affordance in description.get("events", {}).items():
        yield name, Compiled(affordance.get("data"), pointer("value", "events", name, "data"))


def _compile(schema: Mapping[str, Any] | None, where: str) -> Validator | None:
    if schema is None:
        return None
    terms = {term: value for term, value in schema.items() if term in _TERMS}
    if not terms:
        return None
    _refuse_references(terms, where)
    try:
        return _validator(msgspec.json.encode(terms))
    except jsonschema_rs.ValidationError as error:
        raise InvalidDescription(str(error.message)[:500], field=where + pointer(*_place(error))) from error
    except ValueError as error:
        raise InvalidDescription(str(error)[:500], field=where) from error


@lru_cache(maxsize=4096)
def _validator(schema: bytes) -> Validator:
    """Compile a schema once, however many things of one model say it."""
    return Validator(msgspec.json.decode(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions())


def _refuse_references(schema: Any, where: str) -> None:
    if isinstance(schema, dict):
        for key, inner in schema.items():
            if key in _REFERENCES:
                raise InvalidDescription("a data schema has no references", field=where + pointer(key))
            if key not in ("const", "enum", "default"):
                _refuse_references(inner, where + pointer(key))
    elif isinstance(schema, list):
        for index, inner in enumerate(schema):
            _refuse_references(inner, where + pointer(index))


def _check_depth(value: Any) -> None:
    level: Sequence[Any] = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise _wrong(f"goes deeper than {_DEEPEST} levels")


def _wrong(detail: str, *steps: object) -> InvalidDescription:
    return InvalidDescription(detail, field=pointer("value", *steps))
