"""The shape of every benchmark's result: figures with a spread, and peers from the same run."""

from __future__ import annotations

import os
import platform
import statistics
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Taken(msgspec.Struct, omit_defaults=True):
    """The median of some rounds, and their lowest and highest."""

    value: float
    spread: tuple[float, float]
    name: str | None = None


class Figure(msgspec.Struct, omit_defaults=True):
    """One named figure. `ratio` is ours over the first peer's."""

    name: str
    unit: str
    value: float
    spread: tuple[float, float]
    rounds: int
    peer: Taken | None = None
    peers: dict[str, Taken] = {}
    ratio: float | None = None


class Report(msgspec.Struct, omit_defaults=True):
    """What a benchmark gives back: its figures, and why any is missing."""

    figures: list[Figure] = []
    missing: dict[str, str] = {}
    versions: dict[str, str] = {}
    notes: list[str] = []

    def add(
        self,
        name: str,
        unit: str,
        rounds: Sequence[float],
        *,
        peers: Mapping[str, Sequence[float]] | None = None,
    ) -> Figure:
        """Add a figure from the values of its rounds, with those of each peer in the same run."""
        ours = _taken(rounds)
        theirs = {peer: _taken(values) for peer, values in (peers or {}).items() if values}
        figure = Figure(name=name, unit=unit, value=ours.value, spread=ours.spread, rounds=len(rounds))
        if theirs:
            first_name, first = next(iter(theirs.items()))
            figure.ratio = _short(ours.value / first.value) if first.value else None
            if len(theirs) == 1:
                figure.peer = Taken(value=first.value, spread=first.spread, name=first_name)
            else:
                figure.peers = theirs
        self.figures.append(figure)
        return figure

    def lacks(self, name: str, why: str) -> None:
        """Say why a figure could not be taken."""
        self.missing[name] = why


def _short(value: float) -> float:
    """Keep four significant digits: more than these machines can tell apart."""
    return float(f"{value:.4g}")


def _taken(values: Sequence[float]) -> Taken:
    return Taken(
        value=_short(statistics.median(values)),
        spread=(_short(min(values)), _short(max(values))),
    )


def machine() -> dict[str, Any]:
    """Say what this ran on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version()}


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of these packages, ours first; one that is not installed is left out."""
    found = {}
    for package in ("plait", *packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
