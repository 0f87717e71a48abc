"""What a connection costs that does nothing: the sum of many small choices, which creep back unseen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# 41 KiB when this was written, 67 before str0m made its buffers at their first use (native/vendor/README.md).
MOST_KIB = 55


def test_an_idle_end_stays_small() -> None:
    """Forty in a process of their own, as the benchmark measures it."""
    command = [sys.executable, "-m", "benchmarks._idle_peers", "plait", "40"]
    result = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=50)
    assert 10 < float(result.stdout) < MOST_KIB
