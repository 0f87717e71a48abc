"""What the engine and the libraries under it have to say, in Python's logging.

The logger `plait.rtc.native` rules what the engine hands on; `plait.rtc.native.peer`, `.str0m.sctp` and so
on, one for each Rust module, may narrow it further.
"""

from __future__ import annotations

import logging
from typing import Any

from plait import _native

LOGGER = logging.getLogger("plait.rtc.native")
# Rust's finest level; Python has no name for it.
TRACE = 5
_OFF = 255

_level = _OFF


def follow_level() -> None:
    """Tell the engine the logger's level of now; where it is as before, that is one comparison."""
    global _level  # noqa: PLW0603 - the engine's level is the process's own
    level = min(LOGGER.getEffectiveLevel(), _OFF - 1) if LOGGER.isEnabledFor(logging.CRITICAL) else _OFF
    if level != _level:
        _level = level
        _native.set_log_level(level)


class Records:
    """Takes the engine's records out of a mailbox."""

    def handle(self, kind: int, arguments: tuple[Any, ...]) -> None:
        """Hand one record to its logger, or tell how many were dropped."""
        if kind:
            LOGGER.warning("%d records of the engine were dropped: too many at once", *arguments)
            return
        level, target, peer, message = arguments
        if level == logging.INFO and not target.startswith("_native"):
            level = logging.DEBUG  # each step of a library is a detail here
        logger = LOGGER.getChild(target.removeprefix("_native::").replace("::", "."))
        if logger.isEnabledFor(level):
            logger.log(level, "%s", f"peer {peer}: {message}" if peer else message, extra={"peer": peer})
