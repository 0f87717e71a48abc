"""Run one benchmark and print its figures: a table for people, or one JSON object as the last line."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.figures import machine, versions

if TYPE_CHECKING:
    from benchmarks.figures import Report

NOT_BENCHMARKS = {"__init__", "__main__", "figures"}


def names() -> list[str]:
    """Return the benchmarks there are: each public file of this folder."""
    here = Path(__file__).parent
    return sorted(f.stem for f in here.glob("*.py") if f.stem not in NOT_BENCHMARKS and f.stem[0] != "_")


def table(report: Report) -> str:
    """Return the figures as aligned text."""
    lines = []
    for f in report.figures:
        line = f"{f.name:<34}{f.value:>12,.6g} {f.unit:<8} [{f.spread[0]:,.6g} - {f.spread[1]:,.6g}]"
        peers = dict(f.peers)
        if f.peer:
            peers[f.peer.name or "peer"] = f.peer
        for name, peer in peers.items():
            line += f"   {name} {peer.value:,.6g}"
        if f.ratio is not None:
            line += f"   ratio {f.ratio:g}"
        lines.append(line)
    lines += [f"{name:<34}missing: {why}" for name, why in report.missing.items()]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=names())
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most 45 s, the same names")
    options = parser.parse_args()
    report: Report = importlib.import_module(f"benchmarks.{options.name}").run(options.quick)
    if not options.json:
        print(table(report))
        return 0
    whole = {
        "benchmark": options.name,
        "quick": options.quick,
        "machine": machine(),
        "versions": versions() | report.versions,
        "figures": report.figures,
    }
    if report.missing:
        whole["missing"] = report.missing
    if report.notes:
        whole["notes"] = report.notes
    print(msgspec.json.encode(whole).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
