"""What a viewer's path carries, judged once a second from what its receiver reports (RFC 3550, section 6.4).

A picture that is passed through has one rate, and one that is encoded here serves all viewers. So this only
has to tell that the present rate does not fit, about how much does, and when to try more: as the engine does
where it forwards (`native/src/forward/path.rs`). The engine's bandwidth estimate would need its pacer, which
holds back the group that a new viewer is shown at once, and feedback every 50 ms from each viewer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

MUCH_LOSS: Final = 0.2
"""More is the path's queue running over, in the second report; less is repaired."""

WORST_LOSS: Final = 0.4
"""One report of so much is enough."""

MUCH_DELAY: Final = 0.3
"""Seconds above the shortest round trip, or as much again as that: a queue that stands."""

BAD_LOSS: Final = 2
BAD_DELAY: Final = 3
"""Reports in a row that count: a receiver may have been busy for a moment."""

SETTLE: Final = 2.0
"""Seconds after a change in which what was sent before is still reported."""

FIRST_WAIT: Final = 5.0
LONGEST_WAIT: Final = 60.0
"""Quiet seconds before more is tried: at first, and at most, after tries that failed."""

PROVEN: Final = 30.0
"""Seconds after which a try has succeeded."""

LEAST: Final = 50_000.0
"""Bits a second that every path is thought to carry."""


@dataclass(frozen=True, slots=True)
class Report:
    """One second's report.

    Attributes:
        at: when, in seconds of any clock that only goes forward.
        sent: bits a second that went out.
        loss: share of the packets that did not arrive, 0 to 1.
        round_trip: seconds.
    """

    at: float
    sent: float
    loss: float
    round_trip: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is known of a path.

    Attributes:
        bits: what it carries, in bits a second; None where there is no sign of a bound.
        why: what was seen, in words; empty where there is no bound.
        shortest, last: round trips, in seconds.
        bad: reports of trouble in a row.
        changed, tried: when the bound was changed, and when more was tried that has not succeeded yet.
        wait: quiet seconds before more is tried.
    """

    bits: float | None = None
    why: str = ""
    shortest: float | None = None
    last: float = 0.0
    bad: int = 0
    changed: float | None = None
    tried: float | None = None
    wait: float = FIRST_WAIT


def judge(known: Capacity, report: Report, wanted: float) -> Capacity:
    """Return what is known after one more report; `wanted` is what there is to send, in bits a second."""
    shortest = report.round_trip if known.shortest is None else min(known.shortest, report.round_trip)
    late = report.round_trip > shortest + max(MUCH_DELAY, shortest)
    lossy = report.loss >= MUCH_LOSS
    bad = known.bad + 1 if lossy or late else 0
    seen = replace(known, shortest=shortest, last=report.round_trip, bad=bad)
    if not bad:
        return _more(seen, report.at, wanted)
    drains = report.round_trip < known.last and not lossy
    settled = known.changed is None or report.at >= known.changed + SETTLE
    enough = report.loss >= WORST_LOSS or bad >= (BAD_LOSS if lossy else BAD_DELAY)
    return _less(seen, report, lossy=lossy) if settled and enough and not drains else seen


def _less(known: Capacity, report: Report, *, lossy: bool) -> Capacity:
    # A queue that stands without loss takes in a part of what comes.
    arrived = report.sent * (1 - report.loss) * (1.0 if lossy else 0.8)
    most = report.sent if known.bits is None else 0.7 * known.bits
    failed = known.tried is not None and report.at < known.tried + PROVEN
    late = report.round_trip - (known.shortest or 0.0)
    return replace(
        known,
        bits=max(LEAST, min(arrived, most)),
        why=f"{report.loss:.0%} of the packets are lost" if lossy else f"packets are {late:.1f} s late",
        changed=report.at,
        tried=None,
        wait=min(2 * known.wait, LONGEST_WAIT) if failed else known.wait,
    )


def _more(known: Capacity, now: float, wanted: float) -> Capacity:
    if known.tried is not None and now >= known.tried + PROVEN:
        known = replace(known, tried=None, wait=FIRST_WAIT)
    if known.bits is None or known.changed is None or now < known.changed + known.wait:
        return known
    # At first all of it: what is over was a moment's trouble more often than a slow path.
    bits = None if known.wait == FIRST_WAIT or 1.5 * known.bits > 2 * wanted else 1.5 * known.bits
    return replace(known, bits=bits, why=known.why if bits else "", changed=now, tried=now)
