"""Take every figure and write `docs/benchmarks.md`: `make bench`, or this file with the names of some."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"

HEAD = """# Benchmarks

Read off one run each of `python -m benchmarks NAME`, ours and the peers' rounds interleaved in it. The
machines are shared and noisy: trust the ratios more than the absolutes. First the median, then the lowest and
highest round; `ratio` is ours over the first peer's. What each one times is said at the head of its file in
`benchmarks/`.
"""


def take(name: str) -> None:
    """Run one benchmark and keep what it printed."""
    print(f"{name} ...", flush=True)
    command = [sys.executable, "-m", "benchmarks", name, "--json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{name} failed:\n{ran.stderr}")
    result = json.loads(ran.stdout.splitlines()[-1])
    result["taken"] = datetime.now(UTC).date().isoformat()
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def rows(result: dict) -> list[str]:
    """Return the figures of one result as rows of a table."""
    lines = []
    for figure in result["figures"]:
        peers = dict(figure.get("peers", {}))
        if "peer" in figure:
            peers[figure["peer"]["name"]] = figure["peer"]
        beside = ", ".join(f"{name} {peer['value']:,g}" for name, peer in peers.items())
        low, high = figure["spread"]
        ratio = f"{figure['ratio']:g}" if "ratio" in figure else ""
        name = f"`{figure['name']}` ({figure['unit']})"
        lines.append(f"| {name} | {figure['value']:,g} | {low:,g} - {high:,g} | {beside} | {ratio} |")
    lines += [f"| `{name}` | missing | | {why} | |" for name, why in result.get("missing", {}).items()]
    return lines


def page() -> str:
    """Return the page, from every result that is kept."""
    parts = [HEAD]
    for kept in sorted(RESULTS.glob("*.json")):
        result = json.loads(kept.read_text())
        machine = result["machine"]
        versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        parts.append(
            f"## {result['benchmark']}\n\n"
            f"{result['taken']}, {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"{versions}.\n\n"
            "| figure | value | spread | peers in the same run | ratio |\n|---|---|---|---|---|\n"
            + "\n".join(rows(result))
            + "".join(f"\n\n{note}" for note in result.get("notes", []))
            + "\n"
        )
    return "\n".join(parts)


if __name__ == "__main__":
    RESULTS.mkdir(parents=True, exist_ok=True)
    public = (file.stem for file in sorted((ROOT / "benchmarks").glob("*.py")))
    every = [name for name in public if name[0] != "_" and name != "figures"]
    for name in sys.argv[1:] or every:
        take(name)
    PAGE.write_text(page())
