"""Which path is better, as a table; and that two of them do not take turns."""

from __future__ import annotations

import json
from pathlib import Path as File

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.wire.path import LONGEST_PROBATION, Choice, Path, better

VECTORS = File(__file__).parents[2] / "vectors" / "path.json"


def hub(**known) -> Path:
    return Path("hub", **{"open": True, "rtt": 0.04, "good_for": 100.0} | known)


def direct(**known) -> Path:
    return Path("direct", **{"open": True, "rtt": 0.01, "good_for": 100.0} | known)


@pytest.mark.parametrize(
    ("paths", "current", "name", "words"),
    [
        ([], "", "", "no path is open"),
        ([hub(open=False), direct(open=False)], "hub", "", "no path is open"),
        ([hub()], "", "hub", "there first"),
        ([hub(rtt=None)], "hub", "hub", "hub is open"),
        ([hub(), direct(rtt=None)], "hub", "hub", "40 ms"),
        ([hub(), direct()], "hub", "direct", "direct is open, 10 ms"),
        ([hub(), direct(rtt=0.2)], "hub", "hub", "40 ms"),
        ([hub(), direct(rtt=0.06)], "hub", "direct", "60 ms"),
        ([hub(), direct(rtt=0.08)], "direct", "direct", "80 ms"),
        ([hub(), direct(rtt=0.2)], "direct", "hub", "direct takes 200 ms, hub 40 ms"),
        ([hub(), direct(open=False)], "direct", "hub", "direct is closed"),
        ([hub(), direct(silent=1.2)], "direct", "hub", "direct has not answered for 1.2 s"),
        ([hub(), direct(silent=0.8)], "direct", "direct", "10 ms"),
        ([hub(), direct(loss=0.3)], "direct", "hub", "direct loses 30%"),
        ([hub(silent=3.0), direct(silent=3.0)], "direct", "direct", "has not answered"),
        ([hub(open=False), direct(silent=9.0)], "direct", "direct", "has not answered"),
        ([hub(rtt=None), direct(silent=1.5)], "direct", "direct", "has not answered"),
        ([hub(rtt=None), direct(silent=2.5)], "direct", "hub", "direct has not answered for 2.5 s"),
        ([hub(), direct(failures=1, good_for=1.5)], "hub", "hub", "40 ms"),
        ([hub(), direct(failures=1, good_for=2.5)], "hub", "direct", "direct is open"),
        ([hub(), direct(failures=4, good_for=15.0)], "hub", "hub", "40 ms"),
        ([hub(), direct(failures=4, good_for=17.0)], "hub", "direct", "direct is open"),
        ([hub(), direct(failures=50, good_for=LONGEST_PROBATION + 1)], "hub", "direct", "direct is open"),
        ([hub(silent=2.0), direct()], "hub", "direct", "hub has not answered"),
        ([hub(), direct(relayed=True)], "direct", "direct", "direct through a relay, 10 ms"),
    ],
)
def test_the_better_path_and_why(paths, current, name, words):
    choice = better(paths, current)
    assert choice.name == name
    assert words in choice.reason


TIMES = st.one_of(st.none(), st.floats(0.0001, 3.0))
STATES = st.fixed_dictionaries(
    {
        "open": st.booleans(),
        "rtt": TIMES,
        "loss": st.floats(0, 1),
        "silent": st.floats(0, 10),
        "good_for": st.floats(0, 100),
        "failures": st.integers(0, 10),
    }
)


@given(STATES, STATES)
def test_two_paths_do_not_take_turns(one, two):
    """What is chosen over the other is still chosen once it carries the link and nothing has changed."""
    paths = [Path("hub", **one), Path("direct", **two)]
    for current in ("", "hub", "direct"):
        first = better(paths, current)
        assert better(paths, first.name).name == first.name
        assert isinstance(first, Choice)
        assert first.reason


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["choices"], ids=lambda v: v["what"])
def test_vectors(vector):
    assert better([Path(**each) for each in vector["paths"]], vector["current"]) == Choice(**vector["choice"])
