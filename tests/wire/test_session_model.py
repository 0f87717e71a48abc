"""Two sessions over a link that breaks, repeats itself and swallows; the hub is killed and forgets.

The model is two lists: what the device said must stand in the hub's store once each and in order, always;
what one life of the hub said must have come to the device likewise.
"""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from plait.wire import codec, messages
from plait.wire.greeting import hello, read_hello, take_welcome, welcome, welcome_message
from plait.wire.session import SequenceGap, Session

SMALL = st.integers(1, 6)


class Hub:
    """A hub: a store that survives, and a session that does not."""

    def __init__(self):
        self.rows = []  # what is committed …
        self.cursors = {}  # … and with it, in the same transaction, how far each session came
        self.session = None
        self.making = deque()  # received, not committed yet

    def commit(self, count):
        for _ in range(min(count, len(self.making))):
            message = self.making.popleft()
            self.rows.append(message.value)
            self.session.settled(message.seq)
        if self.session is not None:
            self.cursors[self.session.id] = self.session.ack


class Link(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.client = Session()
        self.hub = Hub()
        self.up, self.down = deque(), deque()  # encoded, on their way to the hub and to the client
        self.unsettled = []  # what the device has heard and not put away yet
        self.open = False
        self.text = True
        self.counter = 0
        self.said = []  # by the device
        self.told = {"": []}  # by the hub, for each of its sessions
        self.heard = {"": []}  # of that, what came

    def number(self):
        self.counter += 1
        return self.counter

    def put(self, way, message):
        if self.open:
            way.append(codec.encode(message, text=self.text))

    # What happens

    @rule()
    def device_says(self):
        self.said.append(self.number())
        reading = messages.notification(messages.OBSERVE_PROPERTY, name="t", value=self.said[-1])
        self.put(self.up, self.client.send(reading))

    @precondition(lambda self: self.hub.session is not None)
    @rule()
    def hub_says(self):
        event = messages.notification(messages.SUBSCRIBE_EVENT, name="e", data=self.number())
        self.told[self.hub.session.id].append(event.data)
        if self.counter % 2:
            self.put(self.down, self.hub.session.send(event))
        else:
            data = self.hub.session.send_encoded(codec.Encoded(event), text=self.text)
            if self.open:
                self.down.append(data)

    @precondition(lambda self: self.up)
    @rule(count=SMALL, twice=st.booleans())
    def hub_receives(self, count, twice):
        for _ in range(min(count, len(self.up))):
            message = codec.decode(self.up.popleft(), text=self.text)
            for _ in range(1 + twice):
                try:
                    new = self.hub.session.receive(message)
                except SequenceGap:
                    self.lose()
                    return
                if new and message.operation == messages.OBSERVE_PROPERTY:
                    self.hub.making.append(message)

    @precondition(lambda self: self.hub.making)
    @rule(count=SMALL)
    def hub_commits(self, count):
        self.hub.commit(count)

    @precondition(lambda self: self.down)
    @rule(count=SMALL, twice=st.booleans())
    def device_receives(self, count, twice):
        for _ in range(min(count, len(self.down))):
            message = codec.decode(self.down.popleft(), text=self.text)
            for _ in range(1 + twice):
                try:
                    new = self.client.receive(message)
                except SequenceGap:
                    self.lose()
                    return
                if new and message.operation == messages.SUBSCRIBE_EVENT:
                    self.heard[self.client.id].append(message.data)
                    self.unsettled.append(message.seq)

    @precondition(lambda self: self.unsettled)
    @rule(place=st.integers(0, 10))
    def device_settles(self, place):
        self.client.settled(self.unsettled.pop(place % len(self.unsettled)))

    @precondition(lambda self: self.up or self.down)
    @rule(place=st.integers(0, 10))
    def link_swallows(self, place):
        way = self.up or self.down
        del way[place % len(way)]

    @precondition(lambda self: self.open)
    @rule()
    def both_acknowledge(self):
        for session, way in ((self.client, self.up), (self.hub.session, self.down)):
            if (ack := session.acknowledgement()) is not None:
                self.put(way, ack)

    @precondition(lambda self: self.open)
    @rule(up=st.integers(0, 3), down=st.integers(0, 3))
    def breaks(self, up, down):
        """All that is under way is lost, but for a few at the head, which still arrive."""
        if self.up and up:
            self.hub_receives(up, twice=False)
        if self.down and down:
            self.device_receives(down, twice=False)
        self.lose()

    def lose(self):
        self.up.clear()
        self.down.clear()
        self.open = False

    @precondition(lambda self: not self.open)
    @rule(text=st.booleans(), welcome_is_lost=st.booleans())
    def connects(self, text, welcome_is_lost):
        self.text = text
        asked = codec.decode(codec.encode(hello(self.client, "model"), text=text), text=text)
        said = read_hello(asked)
        known = self.hub.session if self.hub.session and self.hub.session.id == said.session else None
        if known is None:
            self.hub.making.clear()  # of a session that nobody resumes any more
        committed = self.hub.cursors.get(said.session, 0)
        opened = welcome(said, known, committed=committed, window=60.0, time=messages.now())
        self.hub.session = opened.session
        self.told.setdefault(opened.session.id, [])
        self.heard.setdefault(opened.session.id, [])
        if welcome_is_lost:
            return
        answer = codec.decode(codec.encode(welcome_message(asked, opened), text=text), text=text)
        taken = take_welcome(self.client, asked, answer)
        if not taken.welcome.resumed:
            self.unsettled.clear()
        self.open = True
        for message in taken.again:
            self.put(self.up, message)
        for message in opened.again:
            self.put(self.down, message)

    @rule()
    def hub_is_killed(self):
        self.lose()
        self.hub.making.clear()
        self.hub.session = None

    @precondition(lambda self: not self.open and self.hub.session is not None)
    @rule()
    def hub_gives_up_waiting(self):
        """The window is over: what had come is committed, then the session is forgotten."""
        self.hub.commit(len(self.hub.making))
        self.hub.session = None

    # What must hold

    @invariant()
    def store_is_a_prefix_of_what_was_said(self):
        assert self.hub.rows == self.said[: len(self.hub.rows)]

    @invariant()
    def heard_is_a_prefix_of_what_was_told(self):
        for session, heard in self.heard.items():
            assert heard == self.told[session][: len(heard)]

    @invariant()
    def nothing_is_acknowledged_that_is_not_kept(self):
        assert len(self.said) - len(self.client.unacknowledged()) <= len(self.hub.rows)
        assert all(self.client.ack < seq for seq in self.unsettled)

    @invariant()
    def bytes_are_counted_right(self):
        for session in (self.client, self.hub.session or Session()):
            assert (session.buffered == 0) == (not session.unacknowledged())
            assert session.buffered >= 0

    def teardown(self):
        """In the end the link holds: everything arrives."""
        self.breaks(up=0, down=0)  # what was swallowed unnoticed is found
        self.connects(text=self.text, welcome_is_lost=False)
        while self.up or self.down or self.hub.making or self.unsettled:
            if self.up:
                self.hub_receives(1, twice=False)
            self.hub.commit(1)
            if self.down:
                self.device_receives(1, twice=False)
            while self.unsettled:
                self.device_settles(0)
            self.both_acknowledge()
        assert self.hub.rows == self.said
        assert self.heard[self.client.id] == self.told[self.client.id]
        assert not self.client.buffered
        assert not self.hub.session.buffered


def run(**options):
    run_state_machine_as_test(
        Link,
        settings=settings(deadline=None, suppress_health_check=list(HealthCheck), database=None, **options),
    )


@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_or_out_of_order():
    run(max_examples=10_000, stateful_step_count=20, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_nothing_is_lost_doubled_or_out_of_order_long():
    run(max_examples=10_000, stateful_step_count=150)
