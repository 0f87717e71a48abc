"""The lab itself: what it makes is gone when its program is, however that ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .lab import Lab, Way
from .test_matrix import pytestmark as pytestmark  # noqa: PLC0414 - the same conditions

PROGRAM = """
import signal
from tests.netlab.lab import Lab, Way
with Lab() as lab:
    lab.place("device", "cone", Way(delay=0.01))
    print("up", flush=True)
    signal.pause()
"""


def alive(parent):
    """Return the children of a process that have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, above = status.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[:2]
        except FileNotFoundError:
            continue
        if int(above) == parent and state != "Z":
            found.append(int(status.parent.name))
    return found


def test_a_program_that_is_killed_leaves_nothing():
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=root, stdout=subprocess.PIPE) as program:
        assert program.stdout.readline() == b"up\n"
        watched = [os.pidfd_open(pid) for pid in alive(program.pid)]
        assert len(watched) == 4, "the segment, the place, its router and its delay"
        program.send_signal(signal.SIGKILL)
    for fd in watched:
        assert select.select([fd], [], [], 10)[0], "a process of the lab goes on"
        os.close(fd)


def test_a_nat_of_no_known_kind():
    with Lab() as lab, pytest.raises(ValueError, match="no NAT of this kind: sieve"):
        lab.place("device", "sieve", Way())
