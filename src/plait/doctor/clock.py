"""This machine's clock, against the hub's."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from plait.doctor.finding import failed, passed, skipped, warned
from plait.thing.clock import TOLERATED

if TYPE_CHECKING:
    from datetime import datetime

    from plait.doctor.finding import Finding

GRAVE: Final = timedelta(minutes=1)
"""By how much a clock may differ and only be warned of: beyond it, what expires does so too soon or late."""

_SET: Final = "set this machine's clock, and keep it right: sudo timedatectl set-ntp true"


def verdict(ours: datetime, hubs: datetime | None, *, within: timedelta) -> Finding:
    """Compare two clocks.

    Args:
        ours: this machine's time.
        hubs: the hub's at that moment; None where the hub did not say.
        within: how exactly the moment is known: half a round trip, and what the hub rounds by.
    """
    if hubs is None:
        return skipped("clock", "the hub did not tell the time")
    ahead = ours - hubs
    seconds = ahead.total_seconds()
    figures = {"aheadSeconds": round(seconds, 3)}
    off = abs(ahead)
    if off <= TOLERATED + within:
        return passed(
            "clock",
            f"within {max(off, within).total_seconds():.1f} s of the hub's",
            figures=figures,
        )
    said = f"{_length(off)} {'ahead of' if seconds > 0 else 'behind'} the hub's"
    if off <= GRAVE:
        said += "; readings are dated by the hub's"
        return warned("clock", said, advice=_SET, figures=figures)
    return failed(
        "clock",
        f"{said}: certificates, logins and recordings go wrong by that much",
        advice=f"{_SET}. If this one is right, set the hub's",
        figures=figures,
    )


def _length(time: timedelta) -> str:
    seconds = time.total_seconds()
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if round(seconds) >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
