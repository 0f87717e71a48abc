from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest
from msgspec import Meta

from plait.thing import DefinitionError, Thing, action, event, prop
from plait.wire.errors import InvalidValue


class Place(msgspec.Struct):
    x: float
    y: float = 0.0


class Lamp(Thing, types=["Light"], links=[{"rel": "manual", "href": "https://example.com"}]):
    """A lamp
    in the hall.

    Not for bathrooms.
    """

    on: bool = prop(False, title="Power", types=["saref:OnOffState"])
    brightness: Annotated[int, Meta(ge=0, le=100)] = prop(100, unit="percent")
    color_mode: Literal["warm", "cold"] = prop("warm")
    temperature: float = prop(readonly=True, unit="degreeCelsius", description="Of its housing.")
    count = prop(0)
    overheated = event(float, unit="degreeCelsius")
    broken = event()

    @action
    async def blink(self, times: int = 3) -> None:
        """Blink a few
        times.

        More than one may see.
        """

    @action(title="Go there", idempotent=True)
    def move(self, place: Place, /) -> bool:
        return place.x > 0

    def helper(self) -> None:
        """Not an action."""


def described(cls: type[Thing], **options: Any) -> dict[str, Any]:
    return cls("urn:dev:lamp").describe(**options)


def test_a_class_becomes_a_description(td_schema: jsonschema.Draft7Validator):
    description = described(Lamp, base="http://127.0.0.1:8080")
    td_schema.validate(description)
    assert description["id"] == "urn:dev:lamp"
    assert description["title"] == "Lamp"
    assert description["description"] == "A lamp in the hall."
    assert description["@type"] == ["Light"]
    assert description["links"] == [{"rel": "manual", "href": "https://example.com"}]
    assert description["base"] == "http://127.0.0.1:8080"
    assert list(description["properties"]) == ["on", "brightness", "color_mode", "temperature", "count"]
    assert set(description["actions"]) == {"blink", "move"}
    assert set(description["events"]) == {"overheated", "broken"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("on", {"type": "boolean", "title": "Power", "readOnly": False, "@type": ["saref:OnOffState"]}),
        ("brightness", {"type": "integer", "minimum": 0, "maximum": 100, "unit": "percent"}),
        ("color_mode", {"title": "Color mode", "enum": ["warm", "cold"]}),
        ("temperature", {"type": "number", "readOnly": True, "description": "Of its housing."}),
        ("count", {"type": "integer", "observable": True}),
    ],
)
def test_a_property_becomes_an_affordance(name: str, expected: dict[str, Any]):
    assert expected.items() <= described(Lamp)["properties"][name].items()


def test_an_action_takes_its_schemas_from_the_signature_and_its_words_from_the_docstring():
    actions = described(Lamp)["actions"]
    blink = {"type": "object", "properties": {"times": {"type": "integer", "default": 3}}}
    assert actions["blink"]["input"] == blink
    assert actions["blink"]["description"] == "Blink a few times."
    assert "output" not in actions["blink"]
    assert actions["move"]["input"]["required"] == ["x"]
    assert actions["move"]["output"] == {"type": "boolean"}
    assert actions["move"]["title"] == "Go there"
    assert actions["move"]["idempotent"]


def test_an_event_tells_what_it_carries():
    events = described(Lamp)["events"]
    assert events["overheated"]["data"] == {"type": "number"}
    assert "data" not in events["broken"]


def test_annotations_may_be_text(tmp_path):
    source = (
        "from __future__ import annotations\n"
        "from typing import Annotated\n"
        "from msgspec import Meta\n"
        "from plait.thing import Thing, action, prop\n"
        "class Heater(Thing):\n"
        "    level: Annotated[int, Meta(ge=0)] = prop(0)\n"
        "    @action\n"
        "    def boost(self, by: list[int] = [1]) -> int: return by[0]\n"
    )
    import importlib.util
    import sys

    path = tmp_path / "heater_with_text.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("heater_with_text", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["heater_with_text"] = module
    spec.loader.exec_module(module)
    description = described(module.Heater)
    assert description["properties"]["level"]["minimum"] == 0
    assert description["actions"]["boost"]["input"]["properties"]["by"]["type"] == "array"


def test_a_subclass_inherits_and_overrides():
    class Fancy(Lamp):
        """Fancier."""

        on: bool = prop(True)

        async def blink(self, times: int = 9, hue: str = "red") -> None:
            """Blink in colour."""

    description = described(Fancy)
    assert description["@type"] == ["Light"]
    assert next(iter(description["properties"])) == "on"
    assert description["properties"]["on"]["title"] == "On"
    assert set(description["actions"]["blink"]["input"]["properties"]) == {"times", "hue"}
    assert Fancy("urn:a:b").on is True
    assert Lamp("urn:a:b").on is False


def test_a_name_of_things_own_can_be_used_on_the_wire():
    class Radio(Thing):
        station: str = prop("", name="title")

    assert "title" in described(Radio)["properties"]


class Unknown:
    pass


def _no_hint():
    class Bad(Thing):
        heat = prop()


def _no_schema():
    class Bad(Thing):
        heat: Unknown = prop()


def _bad_default():
    class Bad(Thing):
        heat: Annotated[int, Meta(le=5)] = prop(6)


def _own_name():
    class Bad(Thing):
        title: str = prop("")


def _same_name():
    class Bad(Thing):
        heat: int = prop(0)
        warmth: int = prop(0, name="heat")


def _no_parameter_hint():
    class Bad(Thing):
        @action
        def heat(self, degrees): ...


def _bad_parameter():
    class Bad(Thing):
        @action
        def heat(self, degrees: Unknown): ...


def _stars():
    class Bad(Thing):
        @action
        def heat(self, *degrees: int): ...


def _two_positional():
    class Bad(Thing):
        @action
        def heat(self, a: int, b: int, /): ...


def _unresolved():
    class Bad(Thing):
        heat: "Nowhere" = prop(0)  # noqa: F821 - that is the mistake


def _bad_event():
    class Bad(Thing):
        heat = event(Unknown)


def _shadowed():
    class Bad(Lamp):
        on = True


def _static():
    class Bad(Thing):
        @action
        @staticmethod
        def heat(degrees: int): ...


@pytest.mark.parametrize(
    ("define", "text"),
    [
        (_no_hint, "Bad.heat: it needs a type hint"),
        (_no_schema, "Bad.heat: `Unknown` has no JSON form"),
        (_bad_default, "Bad.heat: its default 6 does not fit its type: Expected `int` <= 5"),
        (_own_name, "Bad.title: this name is Thing's own"),
        (_same_name, "Bad.warmth: `heat` is already named 'heat' on the wire"),
        (_no_parameter_hint, "Bad.heat: its parameter `degrees` needs a type hint"),
        (_bad_parameter, "Bad.heat: its parameter `degrees`: `Unknown` has no JSON form"),
        (_stars, "Bad.heat: the parameter `degrees` cannot be filled"),
        (_two_positional, "Bad.heat: the parameter `a` cannot be filled"),
        (_unresolved, "Bad.heat: its type hint cannot be resolved: name 'Nowhere'"),
        (_bad_event, "Bad.heat: `Unknown` has no JSON form"),
        (_shadowed, "Bad.on: Lamp declares it"),
        (_static, "Bad.heat: an action is a plain method"),
    ],
)
def test_a_mistake_names_the_attribute(define, text: str):
    with pytest.raises(DefinitionError) as caught:
        define()
    assert text in str(caught.value)


@pytest.mark.parametrize("bad", ["lamp", "", "a b:c", ":x"])
def test_an_id_is_a_uri(bad: str):
    with pytest.raises(ValueError, match="is not a URI"):
        Lamp(bad)


def test_an_id_is_made_of_the_class():
    class HallLamp(Thing):
        pass

    assert HallLamp().id == "urn:dev:hall-lamp"
    assert HallLamp().title == "Hall lamp"
    assert HallLamp(title="In the hall").title == "In the hall"


def test_a_property_is_a_typed_attribute():
    lamp = Lamp("urn:a:b")
    assert lamp.brightness == 100
    lamp.brightness = 7
    assert lamp.brightness == 7
    with pytest.raises(AttributeError, match=r"Lamp.temperature has no value yet"):
        _ = lamp.temperature
    lamp.temperature = 21
    assert isinstance(lamp.temperature, float)


@pytest.mark.parametrize(
    ("attribute", "value", "text"),
    [
        ("on", "yes", "Lamp.on: Expected `bool`, got `str`"),
        ("brightness", 101, "Lamp.brightness: Expected `int` <= 100"),
        ("color_mode", "hot", "Lamp.color_mode: Invalid enum value 'hot'"),
        ("temperature", float("nan"), "Lamp.temperature: Expected `float`, got `null`"),
        ("on", object(), "Lamp.on: "),
    ],
)
def test_a_value_that_does_not_fit_is_refused_where_it_is_assigned(attribute: str, value: Any, text: str):
    lamp = Lamp("urn:a:b")
    with pytest.raises(InvalidValue) as caught:
        setattr(lamp, attribute, value)
    assert text in str(caught.value)
    assert lamp.on is False


def test_an_event_checks_what_it_carries():
    lamp = Lamp("urn:a:b")
    with pytest.raises(InvalidValue, match=r"Lamp\.overheated"):
        lamp.overheated.emit("hot")
    with pytest.raises(InvalidValue, match="it carries nothing"):
        lamp.broken.emit(1)


def test_an_init_that_forgets_its_base_says_so():
    class Forgetful(Lamp):
        def __init__(self):
            self.on = True

    with pytest.raises(RuntimeError, match=r"Forgetful.__init__ must call super"):
        Forgetful()
