import json
from importlib.resources import files

import jsonschema
import pytest


@pytest.fixture(scope="session")
def td_schema() -> jsonschema.Draft7Validator:
    schema = json.loads((files("plait.wire") / "td-json-schema-1.1.json").read_text(encoding="utf-8"))
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
