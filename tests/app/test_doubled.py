"""What comes twice of a linked thing counts once: by the vectors, as in TypeScript."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from plait.app.doubled import Doubled
from plait.wire.messages import PropertyState, notification

VECTORS = Path(__file__).parents[2] / "vectors" / "doubled.json"
SCRIPTS = json.loads(VECTORS.read_text("utf-8"))["scripts"]
MANY = datetime(2026, 11, 24, 11, tzinfo=UTC)


def time_of(text):
    return msgspec.convert(text, datetime)


def message_of(given):
    times = {"timestamp": time_of(given["timestamp"])} if "timestamp" in given else {}
    return notification(given["operation"], name=given["name"], **times)


class Played:
    """One script, played step by step."""

    def __init__(self):
        self.told = []
        self._way = SimpleNamespace(over=False)
        self._doubled = Doubled(self._way, self.told.append)

    def hub(self, step):
        self._doubled.by_hub(message_of(step["message"]))

    def link(self, step):
        self._doubled.by_link(message_of(step["message"]))

    def hold(self, _):
        self._doubled.hold()

    def reported(self, step):
        self._doubled.reported(msgspec.UNSET if step["last"] is None else time_of(step["last"]))

    def late(self, _):
        self._doubled.release()

    def linked(self, _):
        self._doubled.linked(self._way)

    def over(self, _):
        self._way.over = True

    def states(self, step):
        self._doubled.in_turn(lambda: self._catch_up(step["states"]))

    def many(self, step):
        for number in range(step["count"]):
            at = MANY + timedelta(microseconds=number)
            self._doubled.by_link(notification("subscribeevent", name="many", timestamp=at))
        self.told.clear()

    def close(self):
        self._doubled.release()

    def _catch_up(self, states):
        for name, time in states.items():
            state = PropertyState(value=None, timestamp=time_of(time))
            if self._doubled.fresh(name, state):
                self.told.append(notification("observeproperty", name=name, timestamp=state.timestamp))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script["what"])
async def test_vectors(script):
    played = Played()
    for number, step in enumerate(script["steps"]):
        getattr(played, step["do"])(step)
        assert played.told == [message_of(each) for each in step["told"]], f"step {number}"
        played.told.clear()
    played.close()
