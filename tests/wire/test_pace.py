"""How a viewer of pictures adapts to its way, by the examples that the TypeScript tests read too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.wire.pace import EVERY, LARGEST, RATE, SMALLEST, Pace

SCRIPTS = json.loads((Path(__file__).parents[2] / "vectors" / "pace.json").read_text("utf-8"))["scripts"]


@pytest.mark.parametrize("script", [pytest.param(script, id=script["name"]) for script in SCRIPTS])
def test_pace(script):
    pace = Pace()
    for step in script["pictures"]:
        pace.came(step["bytes"], step["seconds"])
        assert pace.size == step["next"]
        assert pace.wait() == pytest.approx(step["wait"], abs=1e-5)


@given(st.lists(st.floats(0.001, 20)))
def test_it_is_never_too_much(times):
    pace, moment, sent = Pace(), 0.0, 0
    for seconds in times:
        size = pace.size
        pace.came(size, seconds)
        moment += seconds + pace.wait()
        sent += size
        assert SMALLEST <= pace.size <= LARGEST
        assert seconds + pace.wait() >= EVERY - 1e-9
        assert sent <= RATE * moment + 1e-6
