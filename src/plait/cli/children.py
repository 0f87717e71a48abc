"""Processes that a command starts and looks after: none outlives it, and one that dies is started again."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

STOP_WITHIN: Final = 5.0
"""Seconds that a child has to end by itself after SIGTERM."""

_PR_SET_PDEATHSIG: Final = 1


def _die_with_parent() -> None:
    """Between fork and exec: have the kernel kill this child when its parent is gone, however that happens.

    prctl(2) is Linux's; elsewhere a killed command leaves its children, as any does.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Child:
    """One process, its output in a log file.

    Args:
        name: for people.
        command: what is run, its program first.
        environment: variables beside our own.
        log: the file that takes its output.
        piped: its standard output is a pipe, which the caller reads, and not in the log.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        piped: bool = False,
    ) -> None:
        self.name = name
        self.command = tuple(command)
        self.environment = dict(environment)
        self.log = log
        self.piped = piped
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> asyncio.subprocess.Process:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if self.piped else log,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,  # a Ctrl-C is ours to pass on, in good order
                preexec_fn=_die_with_parent,
            )
        return self.process

    async def stop(self) -> None:
        """End it: kindly, and after `STOP_WITHIN` for certain."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()

    def last_words(self) -> str:
        """Return the last line of its log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""

    async def keep(self, say: Callable[[str], None], *, pause: float = 1.0) -> None:
        """Start it again each time it ends, after `pause` s and then longer, up to 10 s; until cancelled."""
        wait = pause
        while True:
            if self.process is None:
                await self.start()
            began = asyncio.get_running_loop().time()
            if self.process is None:
                continue
            code = await self.process.wait()
            if asyncio.get_running_loop().time() - began > 10:
                wait = pause
            how = (
                f"was ended by signal {-code}" if code < 0 else f"ended with code {code}: {self.last_words()}"
            )
            say(f"{self.name} {how}; it is started again")
            self.process = None
            await asyncio.sleep(wait)
            wait = min(10.0, wait * 2)
