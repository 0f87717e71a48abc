import pytest

from plait.cli.talk import parse, plain, shown


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("5", None, 5),
        ("5", {"type": "string"}, "5"),
        ('"5"', {"type": "string"}, "5"),
        ("on", {"type": "boolean"}, True),
        ("No", {"type": "boolean"}, False),
        ("true", {"type": "boolean"}, True),
        ("on", {"type": "string"}, "on"),
        ("on", None, "on"),
        ('{"a": [1]}', {"type": "object"}, {"a": [1]}),
        ("{a}", {"type": "object"}, "{a}"),
        ("null", None, None),
        ("", None, ""),
    ],
)
def test_what_a_person_types_becomes_a_value(text, schema, value):
    parsed = parse(text, schema)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (True, "", "true"),
        (21.5, "degreeCelsius", "21.5 °C"),
        (3, "furlong", "3 furlong"),
        ("warm", "", "warm"),
        ({"é": None}, "", '{"é": null}'),
        (None, "", "null"),
    ],
)
def test_a_value_is_shown_with_its_unit(value, unit, text):
    assert shown(value, unit).plain == text


def test_a_text_is_plain_as_it_is():
    assert plain("a b") == "a b"
    assert plain([1, "a"]) == '[1, "a"]'
