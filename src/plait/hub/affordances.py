"""Reads a Thing Description 1.1 as a hub must: refuses what it could not serve, compiles the data schemas.

TD's data schemas (section 5.3.2) are a part of JSON Schema draft 7 (`items` may be a list there), compiled by
jsonschema-rs. A description comes from a device that may be broken or hostile, so that references are refused
(they could point anywhere, or at themselves), nothing is ever fetched, and patterns match in linear time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import msgspec
from msgspec import UNSET

from plait.hub.contracts import ThingRecord
from plait.wire.errors import InvalidDescription, InvalidValue
from plait.wire.messages import Presence, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_CONTEXT: Final = "https://www.w3.org/2022/wot/td/v1.1"
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
        raise InvalidValue(str(error.message)[:500], field=pointer(member, *error.instance_path))


def read_description(description: Any) -> ThingRecord:
    """Return the thing that a description tells of.

    Args:
        description: plain data, from JSON.

    Raises:
        InvalidDescription: `field` is a JSON pointer into the message that carried it as `value`.
    """
    if not isinstance(description, dict):
        raise _wrong("a description is an object")
    _check_depth(description)
    context = description.get("@context")
    if _CONTEXT not in (context if isinstance(context, list) else [context]):
        raise _wrong(f"holds {_CONTEXT} in a Thing Description 1.1", "@context")
    identity = description.get("id")
    if not isinstance(identity, str) or ":" not in identity or not identity.isprintable():
        raise _wrong("is a URI", "id")
    if len(identity) > _LONGEST_ID:
        raise _wrong(f"has at most {_LONGEST_ID} characters", "id")
    if not isinstance(description.get("title"), str):
        raise _wrong("is text, and must be there", "title")
    _check_security(description)
    return ThingRecord(
        id=identity,
        description=description,
        properties=dict(_properties(description)),
        actions=dict(_actions(description)),
        events=dict(_events(description)),
        presence=Presence(state="offline", since=now()),
    )


def _check_security(description: dict[str, Any]) -> None:
    definitions = description.get("securityDefinitions")
    if not isinstance(definitions, dict) or not definitions:
        raise _wrong("is an object with at least one definition", "securityDefinitions")
    for name, definition in definitions.items():
        if not isinstance(definition, dict) or not isinstance(definition.get("scheme"), str):
            raise _wrong("is an object with a scheme", "securityDefinitions", name)
    security = description.get("security")
    names = security if isinstance(security, list) else [security]
    if not names or not all(isinstance(name, str) and name in definitions for name in names):
        raise _wrong("names definitions of securityDefinitions", "security")


def _properties(description: dict[str, Any]) -> Iterator[tuple[str, Compiled]]:
    for name, affordance in _affordances(description, "properties"):
        readonly = affordance.get("readOnly", False)
        if not isinstance(readonly, bool):
            raise _wrong("is true or false", "properties", name, "readOnly")
        yield name, Compiled(affordance, pointer("value", "properties", name), readonly=readonly)


def _actions(description: dict[str, Any]) -> Iterator[tuple[str, Compiled]]:
    for name, affordance in _affordances(description, "actions"):
        yield name, Compiled(affordance.get("input"), pointer("value", "actions", name, "input"))
        Compiled(affordance.get("output"), pointer("value", "actions", name, "output"))


def _events(description: dict[str, Any]) -> Iterator[tuple[str, Compiled]]:
    for name, affordance in _affordances(description, "events"):
        yield name, Compiled(affordance.get("data"), pointer("value", "events", name, "data"))


def _affordances(description: dict[str, Any], kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    affordances = description.get(kind, {})
    if not isinstance(affordances, dict):
        raise _wrong("is an object", kind)
    if len(affordances) > _MOST:
        raise _wrong(f"has at most {_MOST} members", kind)
    for name, affordance in affordances.items():
        if not isinstance(affordance, dict):
            raise _wrong("is an object", kind, name)
        forms = affordance.get("forms")
        if not isinstance(forms, list) or not forms:
            raise _wrong("is a list of at least one form", kind, name, "forms")
        for index, form in enumerate(forms):
            if not isinstance(form, dict) or not isinstance(form.get("href"), str):
                raise _wrong("is an object with an href", kind, name, "forms", index)
        yield name, affordance


def _compile(schema: Any, where: str) -> Validator | None:
    if schema is None:
        return None
    if not isinstance(schema, dict):
        raise InvalidDescription("a data schema is an object", field=where)
    terms = {term: value for term, value in schema.items() if term in _TERMS}
    if not terms:
        return None
    _refuse_references(terms, where)
    try:
        return _validator(msgspec.json.encode(terms))
    except jsonschema_rs.ValidationError as error:
        steps = list(error.instance_path)
        raise InvalidDescription(str(error.message)[:500], field=where + pointer(*steps)) from error
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
