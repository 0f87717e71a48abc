"""The wire's hot paths, with no socket: what one message costs before the kernel sees it.

`decode`, `encode`: `plait/wire/codec.py` on a reading, beside bare msgspec. `session`: a message numbered,
kept, received, settled and acknowledged, both ends in one loop. `fan_out`: one encoded message numbered anew.
"""

from __future__ import annotations

import timeit
from typing import TYPE_CHECKING

import msgspec

from benchmarks.figures import Report, versions
from plait.wire import codec, messages
from plait.wire.codec import Encoded
from plait.wire.messages import Message
from plait.wire.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

READING = messages.notification(
    messages.OBSERVE_PROPERTY,
    thing_id="urn:dev:thermometer",
    name="temperature",
    value=21.5,
    timestamp=messages.now(),
    seq=1234,
)


def per_s(call: Callable[[], object], count: int) -> float:
    return count / timeit.timeit(call, number=count)


def session_pair() -> Callable[[], None]:
    """Return a call that takes one message from one end to the other and its acknowledgement back."""
    here, there = Session("s-1"), Session("s-1")
    ack = messages.notification(messages.ACK, ack=0)

    def once() -> None:
        message = here.send(READING)
        there.receive(message)
        there.settled(here.sent)
        ack.ack = there.ack
        here.receive(ack)

    return once


def fan_out() -> Callable[[], None]:
    """Return a call that numbers one encoded message for a receiver, which acknowledges at once."""
    session = Session("s-1")
    encoded = Encoded(READING)
    ack = messages.notification(messages.ACK, ack=0)

    def once() -> None:
        session.send_encoded(encoded, text=True)
        ack.ack = session.sent
        session.receive(ack)

    return once


def run(quick: bool) -> Report:
    rounds, count = (3, 20_000) if quick else (7, 200_000)
    report = Report(versions=versions("msgspec"))
    text = codec.encode(READING, text=True)
    binary = codec.encode(READING, text=False)
    bare_decode = msgspec.json.Decoder(Message).decode
    bare_encode = msgspec.json.Encoder().encode
    calls: dict[str, Callable[[], object]] = {
        "decode_json": lambda: codec.decode(text, text=True),
        "bare_decode": lambda: bare_decode(text),
        "encode_json": lambda: codec.encode(READING, text=True),
        "bare_encode": lambda: bare_encode(READING),
        "decode_msgpack": lambda: codec.decode(binary, text=False),
        "encode_msgpack": lambda: codec.encode(READING, text=False),
        "session": session_pair(),
        "fan_out": fan_out(),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            taken[name].append(per_s(call, count))
    report.add("wire.decode_json", "per_s", taken["decode_json"], peers={"msgspec": taken["bare_decode"]})
    report.add("wire.encode_json", "per_s", taken["encode_json"], peers={"msgspec": taken["bare_encode"]})
    for name in ("decode_msgpack", "encode_msgpack", "session", "fan_out"):
        report.add(f"wire.{name}", "per_s", taken[name])
    return report
