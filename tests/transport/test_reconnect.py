"""How long a client waits, and the phases it may pass through."""

from __future__ import annotations

import pytest

from plait.transport.reconnect import NEXT, Backoff, Phase


class Clock:
    """Stands still until told otherwise; in seconds."""

    def __init__(self, now=0.0):
        self.now = now

    def __call__(self):
        return self.now


def backoff(clock, chance=1.0):
    return Backoff(random=lambda: chance, clock=clock)


def test_doubles_up_to_two_seconds():
    waits = backoff(Clock())
    assert [round(waits.wait(), 3) for _ in range(6)] == [0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_is_drawn_evenly_from_zero():
    assert [backoff(Clock(), chance).wait() for chance in (0.0, 0.25, 0.5)] == [0.0, 0.05, 0.1]


def test_grows_patient_after_a_minute():
    clock = Clock(1000.0)
    waits = backoff(clock)
    waits.wait()
    clock.now += 59.9
    assert waits.wait() <= 2.0
    clock.now += 0.1
    assert waits.wait() == 30.0


def test_success_begins_anew():
    clock = Clock()
    waits = backoff(clock)
    for _ in range(2000):
        waits.wait()
    clock.now = 3600
    waits.reset()
    assert waits.wait() == 0.2
    clock.now += 30
    assert waits.wait() == 0.4


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_left_for_good(phase):
    assert NEXT[phase, "stop"] is Phase.CLOSED


def test_nothing_follows_the_end():
    assert [event for (phase, event) in NEXT if phase is Phase.CLOSED] == ["stop"]


def test_every_phase_is_reached():
    assert set(NEXT.values()) == set(Phase) - {Phase.IDLE}
