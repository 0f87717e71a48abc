from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.link.changes import Change, Changes

START = datetime(2026, 1, 1, tzinfo=UTC)


def change(number: int, kind: str = "property", name: str = "a", thing: str = "urn:a:b") -> Change:
    return Change(thing, kind, name, number, START + timedelta(seconds=number))


def drain(changes: Changes) -> list[tuple[str, int]]:
    taken = []
    while (one := changes.take()) is not None:
        taken.append((one.name, one.value))
    return taken


@pytest.mark.parametrize(
    ("coming", "kept"),
    [
        ([("a", 1), ("a", 2)], [("a", 1), ("a", 2)]),
        ([("a", 1), ("a", 2), ("a", 3), ("a", 4)], [("a", 2), ("a", 3), ("a", 4)]),
        ([("b", 1), ("a", 2), ("a", 3), ("a", 4)], [("b", 1), ("a", 3), ("a", 4)]),
        ([("!", 1), ("a", 2), ("a", 3), ("b", 4)], [("!", 1), ("a", 3), ("b", 4)]),
        ([("!", 1), ("!", 2), ("!", 3), ("a", 4)], [("!", 2), ("!", 3), ("a", 4)]),
        ([("!", 1), ("a", 2), ("!", 3), ("!", 4)], [("a", 2), ("!", 3), ("!", 4)]),
    ],
)
def test_at_the_limit_what_is_missed_least_goes(coming, kept):
    changes = Changes(3)
    for name, number in coming:
        changes.add(change(number, "event" if name == "!" else "property", name))
    assert changes.dropped == len(coming) - len(kept)
    assert drain(changes) == kept


EVENTS_OR_VALUES = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "!"]), st.booleans()), max_size=80)


@given(EVENTS_OR_VALUES, st.integers(4, 9))
def test_it_is_bounded_ordered_and_ends_with_the_newest_of_each_property(steps, limit):
    changes = Changes(limit)
    newest: dict[str, int] = {}
    taken: list[tuple[str, int]] = []
    for number, (name, taking) in enumerate(steps):
        changes.add(change(number, "event" if name == "!" else "property", name))
        newest[name] = number
        assert len(changes) <= limit
        if taking and (one := changes.take()) is not None:
            taken.append((one.name, one.value))
    taken += drain(changes)
    numbers = [number for _, number in taken]
    assert numbers == sorted(numbers)
    assert len(taken) + changes.dropped == len(steps)
    last = dict(taken)
    properties = [name for name in newest if name != "!"]
    events = [name for name, _ in steps].count("!")
    if len(properties) + events <= limit:
        assert all(last[name] == newest[name] for name in properties)


def test_a_last_known_value_counts_where_it_is_news():
    changes = Changes()
    changes.catch_up(change(5))
    changes.catch_up(change(5))
    changes.catch_up(change(4))
    changes.catch_up(change(6))
    changes.catch_up(change(1, name="b"))
    assert drain(changes) == [("a", 5), ("a", 6), ("b", 1)]
