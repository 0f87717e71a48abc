"""A link's two ends, packet by packet: what goes, in which order, and what breaks the rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.wire.errors import Busy, InvalidMessage, InvalidValue, LinkViolation, MessageTooLarge
from plait.wire.link import PACKET, Ended, Fault, Link, Opened, Ping, Pong, Received, frames
from plait.wire.link.frames import Ack, Data, Datagram, Declaration, Reset, Seen, Value
from plait.wire.link.latest import KEYS, LARGEST, Once
from plait.wire.link.reliable import COST, FRAGMENT, LONGEST, WINDOW, Incoming

VECTORS = Path(__file__).parents[2] / "vectors" / "link.json"


def carry(a: Link, b: Link, now: float = 0.0, lane="any") -> list:
    """Carry what each has to say until neither says more; return what b tells."""
    told = []
    for _ in range(10_000):
        there, back = a.poll(now, lane), b.poll(now, lane)
        if there is None and back is None:
            return told
        if there is not None:
            assert len(there) <= PACKET
            told += b.receive(there)
        if back is not None:
            a.receive(back)
    raise AssertionError("it never ends")


def pair(*channels, **options) -> tuple[Link, Link]:
    a, b = Link(**options), Link(**options)
    for name, delivery in channels:
        for end in (a, b):
            end.open(name, delivery)
    return a, b


def received(events) -> list:
    return [event.payload for event in events if isinstance(event, Received)]


def test_messages_of_every_size_come_whole():
    a, b = pair(("x", "reliable"))
    sizes = (0, 1, FRAGMENT - 1, FRAGMENT, FRAGMENT + 1, 500_000)
    for size in sizes:
        a.send("x", bytes(size), now=0)
    got = received(carry(a, b))
    assert [len(payload) for payload in got] == list(sizes)
    assert a.settled
    assert a.buffered("x") == 0


def test_text_stays_text():
    a, b = pair(("x", "reliable"), ("v", "latest"), ("d", "datagram"))
    for name in "xvd":
        a.send(name, "☃".encode(), now=0, text=True)
        a.send(name, b"\xff", now=0, key="other" if name == "v" else "")
    events = [event for event in carry(a, b) if isinstance(event, Received)]
    assert {(event.channel, event.text) for event in events} == {(n, t) for n in "xvd" for t in (True, False)}


def test_a_channel_that_nobody_asked_for_is_told():
    a, b = Link(), Link()
    a.open("x", "reliable")
    a.send("x", b"1", now=0)
    assert carry(a, b) == [Opened("x", "reliable"), Received("x", b"1", text=False)]
    b.send("x", b"2", now=0)
    assert received(carry(b, a)) == [b"2"]


def test_another_path_sends_again_only_what_has_not_come():
    a, b = pair(("x", "reliable"))
    for number in range(10):
        a.send("x", str(number).encode() * 10_000, now=0)
    first = [a.poll(0) for _ in range(3)]
    got = received([event for packet in first for event in b.receive(packet)])
    answer = b.poll(0)
    lost = a.poll(0)
    assert lost is not None
    a.receive(answer)
    a.moved(0)
    b.moved(0)
    again = carry(a, b)
    assert [payload[:1] for payload in got + received(again)] == [str(n).encode() for n in range(10)]


def test_what_comes_twice_or_late_is_put_right():
    a, b = pair(("x", "reliable"))
    for number in range(6):
        a.send("x", bytes([number]) * 12_000, now=0)
    packets = []
    while (packet := a.poll(0)) is not None:
        packets.append(packet)
    got = []
    for packet in [*reversed(packets), *packets]:
        got += received(b.receive(packet))
    assert [payload[0] for payload in got] == list(range(6))


def test_a_command_does_not_wait_behind_a_file():
    a, b = Link(), Link()
    a.open("file", "reliable", priority=0)
    a.open("steer", "reliable", priority=200)
    a.send("file", bytes(900_000), now=0)
    for _ in range(3):
        b.receive(a.poll(0))
    a.send("steer", b"left", now=0)
    assert received(b.receive(a.poll(0))) == [b"left"]


def test_channels_of_one_priority_take_turns():
    a, b = pair(("one", "reliable"), ("two", "reliable"))
    for name in ("one", "two"):
        a.send(name, bytes(200_000), now=0)
    order = []
    for _ in range(12):
        order += [frame.channel for frame in frames.unpack(a.poll(0))]
    assert order.count(1) == order.count(2)
    assert carry(a, b) is not None


def test_the_newest_value_wins_and_older_ones_never_follow():
    a, b = pair(("v", "latest"))
    for number in range(100):
        a.send("v", str(number).encode(), now=0, key="speed")
    a.send("v", b"on", now=0, key="light")
    events = [event for event in carry(a, b) if isinstance(event, Received)]
    assert [(event.key, event.payload) for event in events] == [("speed", b"99"), ("light", b"on")]
    old = frames.pack([frames.encode(Value(1, 3, "speed", b"3"))])
    assert received(b.receive(old)) == []


def test_a_value_that_is_lost_is_sent_again_until_it_is_seen():
    a, b = pair(("v", "latest"))
    a.rtt = 0.02
    a.send("v", b"1", now=10.0, key="k")
    assert a.poll(10.0) is not None
    assert a.poll(10.0) is None
    due = a.deadline()
    assert 10.0 < due <= 10.1
    again = a.poll(due)
    assert received(b.receive(again)) == [b"1"]
    assert not a.settled
    a.receive(b.poll(due))
    assert a.settled
    assert a.deadline() is None


def test_datagrams_come_at_most_once_and_the_newest_stay():
    a, b = pair(("d", "datagram"))
    for number in range(100):
        a.send("d", bytes([number]), now=0)
    packet = a.poll(0)
    got = received(b.receive(packet))
    assert [payload[0] for payload in got] == list(range(36, 100)), "64 wait"
    assert received(b.receive(packet)) == []


def test_each_lane_has_its_kinds():
    a, _ = pair(("x", "reliable"), ("v", "latest"), ("d", "datagram"))
    for name in "xvd":
        a.send(name, b"1", now=0)
    kinds = {lane: {type(frame) for frame in frames.unpack(a.poll(0, lane))} for lane in ("fast", "sure")}
    assert kinds == {"fast": {Value, Datagram}, "sure": {Data}}


def test_a_reader_that_stops_stops_the_sender():
    a, b = pair(("x", "reliable"), limit=64 << 20)
    for _ in range(40):
        a.send("x", bytes(1 << 20), now=0)
    came = len(received(carry(a, b)))
    assert 4 <= came <= 6, "what is not taken stays at the sender"
    while came < 40:
        for _ in range(came):
            b.took("x", 1 << 20)
        more = len(received(carry(a, b)))
        assert more
        came += more
        for _ in range(more):
            b.took("x", 1 << 20)


def test_a_far_end_that_is_away_too_long_is_said():
    a, _ = pair(("x", "reliable"), limit=1000)
    a.send("x", bytes(5000), now=0)  # one message may be larger
    with pytest.raises(Busy, match="5000 bytes"):
        a.send("x", b"1", now=0)


def test_both_ends_finish_and_the_name_is_free_again():
    a, b = pair(("x", "reliable"))
    a.send("x", b"1", now=0)
    a.finish("x")
    assert carry(a, b)[-1] == Ended("x")
    with pytest.raises(InvalidValue, match="not open"):
        a.send("x", b"2", now=0)
    b.send("x", b"late", now=0)
    b.finish("x")
    assert carry(b, a) == [Received("x", b"late", text=False), Ended("x")]
    a.open("x", "reliable")
    a.send("x", b"again", now=0)
    assert received(carry(a, b)) == [b"again"]


def test_an_end_whose_acknowledgement_is_lost_is_no_error():
    a, b = pair(("x", "reliable"))
    a.finish("x")
    carry(a, b)
    b.finish("x")
    a.receive(b.poll(0))
    assert a.poll(0) is not None  # lost
    a.moved(0)
    b.moved(0)
    assert not any(isinstance(event, Ended) and event.error for event in carry(a, b))
    assert b.settled


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (b"\x05\x01", "too early"),
        (b"\x02\x01", "too early"),
        (b"\x01\x63", "too early"),
        (b"\x03\x63\x01\x01", "kind 99"),
        (b"\x0c" + b"\x07" + b"\xff" * 11, "63 bits"),
        (b"\x05\x02\x01\x01\x01\x00", "too long"),
        (frames.pack([b"\x01\x08\x01\x01\x09\x00\x01x"]), "delivery class"),
        (frames.pack([b"\x01\x08\x01\x01\x00\x00\x01\xff"]), "UTF-8"),
        (frames.pack([b"\x01\x08\x01\x01\x00\x00\xff\x01" + b"x" * 255]), "at most 128"),
    ],
)
def test_what_is_no_packet_is_told_and_touches_nothing(packet, words):
    a, b = pair(("x", "reliable"))
    a.send("x", b"1", now=0)
    (fault,) = b.receive(packet)
    assert isinstance(fault, Fault)
    assert isinstance(fault.error, InvalidMessage)
    assert words in fault.error.detail
    assert received(carry(a, b)) == [b"1"]


X = Declaration("x", "reliable", 100)


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        ([Data(9, 1, b"x")], "not declared"),
        ([Data(9, 1, b"x", first=False, declaration=X)], "middle of another"),
        ([Data(9, 1, b"x", last=False, declaration=X), Data(9, 2, b"x")], "middle of another"),
        ([Data(9, 1 << 40, b"x", declaration=X)], "far ahead"),
        ([Data(9, 0, b"x", declaration=X), Data(9, 2**62, b"")], "far ahead"),
        ([Data(9, 2 + n, bytes(20_000), declaration=X) for n in range(60)], "were granted"),
        ([Data(9, 2 + n, b"", declaration=X) for n in range(70_000)], "were granted"),
        ([Data(9, 1, b"", end=True, declaration=X), Data(9, 2, b"x")], "after the channel's end"),
        ([Value(9, 1, "k", b"x", declaration=X)], "another class"),
        ([Data(9, 1, b"x", declaration=Declaration("v", "reliable", 1))], "latest here, reliable there"),
        ([Data(9, 1, b"", declaration=X), Data(10, 1, b"", declaration=X)], "a number already"),
        ([Data(9, 1, b"", declaration=Declaration("", "reliable", 1))], "without a name"),
    ],
)
def test_a_channel_that_breaks_the_rules_ends_alone(hostile, words):
    a, b = pair(("x", "reliable"), ("v", "latest"), ("good", "reliable"))
    events = [event for frame in hostile for event in b.receive(frames.pack([frames.encode(frame)]))]
    errors = [event.error for event in events if isinstance(event, Ended) and event.error]
    resets = [frame for frame in frames.unpack(b.poll(0)) if isinstance(frame, Reset)]
    assert words in resets[0].reason
    assert not resets[0].mine
    assert all(isinstance(error, LinkViolation) for error in errors)
    a.send("good", b"1", now=0)
    assert b"1" in received(carry(a, b))


def test_too_many_keys_end_the_channel():
    _, b = pair(("v", "latest"))
    declared = Declaration("v", "latest", 100)
    for number in range(KEYS + 1):
        events = b.receive(
            frames.pack([frames.encode(Value(9, number + 1, str(number), b"", False, declared))])
        )
    assert "keys" in events[-1].error.detail
    a, _ = pair(("v", "latest"))
    for number in range(KEYS):
        a.send("v", b"", now=0, key=str(number))
    with pytest.raises(InvalidValue, match="keys"):
        a.send("v", b"", now=0, key="one more")


@pytest.mark.parametrize("forged", [Ack(1, 99, 0), Ack(2, 1, 0), Seen(1, 1), Seen(2, 5)])
def test_an_acknowledgement_of_what_was_never_sent_ends_that_channel(forged):
    a, b = pair(("x", "reliable"), ("v", "latest"), ("good", "reliable"))
    (ended,) = a.receive(frames.pack([frames.encode(forged)]))
    assert isinstance(ended.error, LinkViolation)
    a.send("good", b"1", now=0)
    events = carry(a, b)
    assert received(events) == [b"1"]


def test_a_far_end_is_told_that_its_channel_was_refused():
    a, b = pair(("x", "reliable"))
    b.open("y", "latest")
    a.open("y", "reliable")
    a.send("y", b"1", now=0)
    packet = a.poll(0)
    b.receive(packet)
    (ended,) = a.receive(b.poll(0))
    assert ended.channel == "y"
    assert "latest here, reliable there" in ended.error.detail


def test_a_message_that_never_ends_ends_its_channel():
    incoming = Incoming(1)
    incoming.receive(Data(1, 1, bytes(FRAGMENT), last=False))

    def go_on() -> None:
        for number in range(LONGEST // FRAGMENT + 2):
            incoming.ack()
            incoming.receive(Data(1, 2 + number, bytes(FRAGMENT), first=False, last=False))

    with pytest.raises(LinkViolation, match="beyond"):
        go_on()


def test_answers_to_a_liar_are_bounded():
    _, b = pair(("x", "reliable"))
    for number in range(20_000):
        b.receive(frames.pack([frames.encode(Data(number, 1, b""))]))
    count = 0
    while b.poll(0) is not None:
        count += 1
    assert count < 1000
    assert len(b._table.refused) <= 1024


def test_what_cannot_be_asked_for_is_refused_by_name():
    link = Link()
    for name, delivery, priority in (
        ("", "reliable", 1),
        ("x" * 129, "reliable", 1),
        ("x", "best", 1),
        ("x", "latest", 256),
    ):
        with pytest.raises(InvalidValue):
            link.open(name, delivery, priority=priority)
    link.open("v", "latest")
    link.open("v", "latest")
    with pytest.raises(InvalidValue, match="of the class latest"):
        link.open("v", "reliable")
    with pytest.raises(InvalidValue, match="'nobody' is not open"):
        link.send("nobody", b"", now=0)
    with pytest.raises(MessageTooLarge):
        link.send("v", bytes(LARGEST + 1), now=0)
    with pytest.raises(InvalidValue, match="key"):
        link.send("v", b"", now=0, key="k" * 129)
    link.open("x", "reliable")
    with pytest.raises(MessageTooLarge):
        link.send("x", bytes(LONGEST + 1), now=0)


def test_a_ping_is_handed_up():
    assert Link().receive(frames.pack([frames.encode(Ping(7)), frames.encode(Pong(8))])) == [Ping(7), Pong(8)]


def test_once_remembers_the_last_thousand():
    once = Once()
    assert [once.receive(n) for n in (1, 1, 3, 2, 3, 2000, 1999, 900, 1500, 1500)] == (
        [True, False, True, True, False, True, True, False, True, False]
    )


def test_a_fragment_with_its_cost_fits_the_window():
    assert FRAGMENT + COST < WINDOW


@pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["frames"], ids=lambda v: v["what"])
def test_vectors(vector):
    frame = frames.decode(bytes.fromhex(vector["hex"]))
    kind = {"data": Data, "ack": Ack, "value": Value, "seen": Seen, "datagram": Datagram, "reset": Reset}
    members = dict(vector["members"])
    if declared := members.pop("declaration", None):
        members["declaration"] = Declaration(**declared)
    if "payload" in members:
        members["payload"] = bytes.fromhex(members["payload"])
    expected = {**kind, "ping": Ping, "pong": Pong}[vector["kind"]](**members)
    assert frame == expected
    assert frames.encode(frame).hex() == vector["hex"]
