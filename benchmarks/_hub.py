"""The hub of `command`: `python -m benchmarks._hub …` is `plait hub …`, and times its commits.

At each line on standard input it prints `commit` and the median time of the commits since the last one, in
microseconds: from the loop that asks for a commit to the loop that hears of it, as whoever waits for it pays.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING

from plait.cli.hub import app
from plait.hub.store.writer import Writer

if TYPE_CHECKING:
    from plait.hub.contracts import Done, Mark
    from plait.hub.store.writer import Run

_put = Writer.put
_took: list[float] = []


def _timed(writer: Writer, run: Run, mark: Mark | None, done: Done) -> None:
    began = time.perf_counter()

    def told(error: BaseException | None) -> None:
        _took.append(time.perf_counter() - began)
        done(error)

    _put(writer, run, mark, told)


def _tell() -> None:
    for _ in sys.stdin:
        taken = _took[:]
        del _took[: len(taken)]
        print("commit", statistics.median(taken) * 1e6, flush=True)


if __name__ == "__main__":
    Writer.put = _timed  # type: ignore[method-assign]
    threading.Thread(target=_tell, daemon=True).start()
    app()
