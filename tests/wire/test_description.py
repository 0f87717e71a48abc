import enum
import json
from functools import cache, partial
from importlib.resources import files
from typing import Annotated, Any, Literal, TypedDict

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from plait.wire.description import (
    action_affordance,
    event_affordance,
    property_affordance,
    thing_description,
    thing_href,
)
from plait.wire.schema import schema_of


class Mode(enum.Enum):
    LOW = "low"
    HIGH = "high"
    AUTO = "auto"


class Point(msgspec.Struct):
    """A place on the map."""

    x: Annotated[float, Meta(ge=0, title="X")]
    y: float = 0.0


class Route(msgspec.Struct):
    points: list[Point]
    mode: Mode = Mode.AUTO


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float


class Tree(msgspec.Struct):
    children: "list[Tree]"


class Options(TypedDict, total=False):
    depth: int


POINT = {
    "type": "object",
    "description": "A place on the map.",
    "required": ["x"],
    "properties": {
        "x": {"type": "number", "minimum": 0, "title": "X"},
        "y": {"type": "number", "default": 0.0},
    },
}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (Any, {}),
        (bool, {"type": "boolean"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (str, {"type": "string"}),
        (None, {"type": "null"}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], {"type": "object"}),
        (
            tuple[int, str],
            {
                "type": "array",
                "items": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (Annotated[int, Meta(ge=0, le=100)], {"type": "integer", "minimum": 0, "maximum": 100}),
        (
            Annotated[float, Meta(gt=0, lt=1)],
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        ),
        (Annotated[str, Meta(min_length=1, pattern="a")], {"type": "string", "minLength": 1, "pattern": "a"}),
        (Annotated[int, Meta(extra_json_schema={"unit": "percent"})], {"type": "integer", "unit": "percent"}),
        (Literal["low", "high", "auto"], {"type": "string", "enum": ["low", "high", "auto"]}),
        (Literal[3, 1, 2], {"type": "integer", "enum": [3, 1, 2]}),
        (Literal["x", 1], {"enum": ["x", 1]}),
        (Mode, {"type": "string", "enum": ["low", "high", "auto"]}),
        (int | None, {"oneOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | float, {"type": "number"}),
        (int | float | None, {"oneOf": [{"type": "number"}, {"type": "null"}]}),
        (Literal[1, "auto"] | float, {"oneOf": [{"type": "number"}, {"type": "string", "enum": ["auto"]}]}),
        (Point, POINT),
        (
            Route,
            {
                "type": "object",
                "required": ["points"],
                "properties": {
                    "points": {"type": "array", "items": POINT},
                    "mode": {"type": "string", "enum": ["low", "high", "auto"], "default": "auto"},
                },
            },
        ),
        (Options, {"type": "object", "properties": {"depth": {"type": "integer"}}}),
    ],
)
def test_a_hint_becomes_a_data_schema(hint: Any, schema: dict[str, Any]):
    assert _normal(schema_of(hint)) == _normal(schema)


def _normal(schema: Any) -> Any:
    """Sort the branches of unions, whose order means nothing."""
    if not isinstance(schema, dict):
        return schema
    normal = {name: _normal(value) for name, value in sorted(schema.items())}
    if "oneOf" in normal:
        normal["oneOf"] = sorted(map(_normal, normal["oneOf"]), key=json.dumps)
    return normal


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (complex, "`complex` has no JSON form"),
        (list[complex], "has no JSON form"),
        (Tree, "Tree refers to itself"),
        (int | list[int] | tuple[int, str], "more than one array-like"),
    ],
)
def test_a_hint_without_a_schema_says_why(hint: Any, reason: str):
    with pytest.raises(TypeError, match=reason):
        schema_of(hint)


TEXT = partial(st.text, "ab é/~😀")

# Pairs of a hint and a strategy for values of it, nested.
_LEAVES = st.sampled_from(
    [
        (bool, st.booleans()),
        (int, st.integers(-(2**53), 2**53)),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (str, TEXT()),
        (Annotated[int, Meta(ge=0, le=100)], st.integers(0, 100)),
        (Annotated[str, Meta(max_length=3)], TEXT(max_size=3)),
        (Literal["b", "a"], st.sampled_from(["a", "b"])),
        (Mode, st.sampled_from(Mode)),
        (Point, st.builds(Point, x=st.floats(0, 1e9), y=st.floats(-1e9, 1e9))),
        (Circle | Square, st.sampled_from([Circle(1.0), Square(2.0)])),
        (int | float, st.integers(-5, 5) | st.floats(-5, 5)),
        (Literal[1, "auto"] | float, st.sampled_from([1, "auto", 2.5])),
        (Literal["a"] | None | int, st.sampled_from(["a", None, 3])),
    ]
)


def _wrap(inner: Any) -> Any:
    return inner.flatmap(
        lambda pair: st.sampled_from(
            [
                (list[pair[0]], st.lists(pair[1], max_size=3)),
                (dict[str, pair[0]], st.dictionaries(TEXT(max_size=3), pair[1], max_size=3)),
                (tuple[pair[0], int], st.tuples(pair[1], st.integers(-9, 9))),
                (pair[0] | None, pair[1] | st.none()),
            ]
        )
    )


HINTS_AND_VALUES = st.recursive(_LEAVES, _wrap, max_leaves=4).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), pair[1])
)
SCALARS = st.none() | st.booleans() | st.integers(-200, 200) | st.floats(-200, 200) | TEXT(max_size=4)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(HINTS_AND_VALUES)
def test_every_value_of_a_hint_fits_its_schema(pair: Any):
    hint, value = pair
    jsonschema.Draft7Validator(schema_of(hint)).validate(msgspec.json.decode(msgspec.json.encode(value)))


@given(HINTS_AND_VALUES, ANYTHING)
def test_what_breaks_the_schema_is_not_of_the_hint(pair: Any, value: Any):
    hint, _ = pair
    if jsonschema.Draft7Validator(schema_of(hint)).is_valid(value):
        return
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(value), type=hint)


@given(HINTS_AND_VALUES)
def test_every_schema_is_of_the_vocabulary_of_td(pair: Any):
    schema = schema_of(pair[0])
    text = json.dumps(schema)
    assert not any(
        f'"{term}"' in text for term in ("$ref", "$defs", "anyOf", "prefixItems", "additionalProperties")
    )
    w3c().validate(
        thing_description("urn:a:b", "T", properties={"p": property_affordance("urn:a:b", "p", schema)})
    )


def test_a_full_description_is_valid_by_the_schema_of_the_w3c():
    thing = "urn:dev:hall lamp"
    description = thing_description(
        thing,
        "Hall lamp",
        types=["saref:LightSwitch"],
        context=[{"saref": "https://w3id.org/saref#"}],
        base="http://127.0.0.1:8080",
        properties={
            "on": property_affordance(thing, "on", schema_of(bool), title="Power"),
            "heat": property_affordance(
                thing, "heat", schema_of(float), read_only=True, unit="degreeCelsius"
            ),
        },
        actions={
            "blink": action_affordance(thing, "blink", input_schema=schema_of(Point), description="Blink.")
        },
        events={"hot": event_affordance(schema_of(float), title="Too hot"), "gone": event_affordance()},
        links=[{"rel": "plait:call", "href": "/ws", "plait:media": ["video"]}],
        description="A lamp.",
    )
    w3c().validate(description)
    assert description["@context"][0] == "https://www.w3.org/2022/wot/td/v1.1"
    assert description["security"] == ["bearer_sc"]
    assert description["properties"]["heat"]["forms"][0] == {
        "href": "/things/urn%3Adev%3Ahall%20lamp/properties/heat",
        "contentType": "application/json",
        "op": ["readproperty"],
    }
    assert "writeproperty" in description["properties"]["on"]["forms"][1]["op"]
    assert description["properties"]["on"]["title"] == "Power"


def test_a_hub_without_tokens_is_described_as_such():
    description = thing_description("urn:a:b", "T", secure=False)
    w3c().validate(description)
    assert description["securityDefinitions"] == {"nosec_sc": {"scheme": "nosec"}}


@pytest.mark.parametrize(
    "broken", [{"@context": "https://example.com"}, {"security": []}, {"properties": {"p": {}}}]
)
def test_the_schema_of_the_w3c_refuses_what_is_broken(broken: dict[str, Any]):
    with pytest.raises(jsonschema.ValidationError):
        w3c().validate(thing_description("urn:a:b", "T") | broken)


def test_an_id_is_one_step_of_a_path():
    assert thing_href("urn:a/b?c") == "/things/urn%3Aa%2Fb%3Fc"


@cache
def w3c() -> jsonschema.Draft7Validator:
    schema = json.loads((files("plait.wire") / "td-json-schema-1.1.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
