"""Running things: `serve` inside a program's own event loop, `run` as the whole program."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypedDict

from plait.thing.service import Service
from plait.transport.trust import trust
from plait.wire.errors import (
    Forbidden,
    InvalidDescription,
    PlaitError,
    SessionLost,
    Unauthorized,
    UnknownOperation,
)

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Callable, Coroutine, Iterator, Mapping

    from plait.thing.service import Standing
    from plait.thing.thing import Thing

DEFAULT_HUB: Final = "http://127.0.0.1:8080"

log = logging.getLogger("plait.thing")

_collected: ContextVar[list[Thing] | None] = ContextVar("collected", default=None)


class Options(TypedDict, total=False):
    """What `Thing.run` and `Thing.serve` take: see `serve`."""

    hub: str | None
    token: str | None
    ssl: tls.SSLContext | None
    ca: str | os.PathLike[str] | None
    folder: str | os.PathLike[str] | None
    mode: Literal["always", "wake"]
    every: float


async def serve(
    *things: Thing,
    hub: str | None = None,
    token: str | Mapping[str, str] | None = None,
    ssl: tls.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    on_state: Callable[[Thing, Standing], None] | None = None,
    folder: str | os.PathLike[str] | None = None,
    mode: Literal["always", "wake"] = "always",
    every: float = 300.0,
) -> None:
    """Serve things until cancelled, each on a connection of its own. A hub that goes away is dialled again.

    Args:
        things: one or several.
        hub: the hub's address; absent, that in `PLAIT_HUB`, or `http://127.0.0.1:8080`.
        token: the thing's token, or with several things, each one's by its id; absent, that in `PLAIT_TOKEN`.
        ssl: whom to trust for https.
        ca: instead of it, a file with PEM certificates, or a hub's pin (`sha256:…`, as `plait hub ca` prints
            it); absent, that in `PLAIT_CA`, or the system's authorities.
        on_state: told whenever a thing comes online ("online") and whenever it has no hub ("lost").
        folder: where things keep what must outlive this process (reports that the hub has not
            acknowledged, actions that were begun), each in a folder of its own; absent, in memory.
        mode: "always" stays connected. "wake" is for a device on a battery: `main` runs, and should return;
            then it connects, tells, takes what waits, and is gone until the next time. Best with a folder.
        every: with "wake", seconds from one time to the next.

    Raises:
        Unauthorized, Forbidden: the hub does not take a token.
        InvalidDescription: the hub does not take a thing.
        SessionLost: another process serves a thing now.
        Busy: another process has a thing's folder open.
        ValueError: `hub` is not an address, or `ca` neither a file of certificates nor a pin.
        Exception: whatever a thing's `main` raised.
    """
    address = hub or os.environ.get("PLAIT_HUB") or DEFAULT_HUB
    trusted = trust(ssl, ca)
    services = [
        Service(
            thing,
            address,
            _token_of(thing, token),
            ssl=trusted,
            on_state=None if on_state is None else partial(on_state, thing),
            folder=None if folder is None else Path(folder),
            every=every if mode == "wake" else None,
        )
        for thing in things
    ]
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        for done in asyncio.as_completed(tasks):
            await done
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(
    *things: Thing,
    hub: str | None = None,
    token: str | Mapping[str, str] | None = None,
    ssl: tls.SSLContext | None = None,
    ca: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    mode: Literal["always", "wake"] = "always",
    every: float = 300.0,
) -> None:
    """Serve things as this program's whole work, until Ctrl-C or SIGTERM; see `serve` for the arguments.

    Absent, `folder` is that in `PLAIT_STATE`; where that is not set either, things keep nothing.

    What happens is logged by the logger `plait.thing`, to standard error where there is no logging yet.

    Raises:
        SystemExit: with code 1, after one line that says why the hub does not take it, or after the traceback
            of what a thing's `main` raised; with code 2 where the hub's address is not one.
    """
    collected = _collected.get()
    if collected is not None:
        collected.extend(things)
        return
    reasons = _Reasons()
    if not logging.getLogger().handlers:
        _show_log(reasons)
    said: set[str] = set()

    def tell(thing: Thing, state: Standing) -> None:
        if state == "online":
            log.info("%s is online (%s)", thing.title, thing.id)
            said.discard(thing.id)
        elif thing.id not in said:
            log.warning(
                "%s has no hub, dialling on%s", thing.title, f" ({reasons.last})" if reasons.last else ""
            )
            said.add(thing.id)

    with contextlib.suppress(KeyboardInterrupt):
        try:
            serving = serve(
                *things,
                hub=hub,
                token=token,
                ssl=ssl,
                ca=ca,
                on_state=tell,
                folder=folder or os.environ.get("PLAIT_STATE") or None,
                mode=mode,
                every=every,
            )
            asyncio.run(_until_told(serving))
        except (PlaitError, ValueError) as error:
            if getattr(error, "__notes__", None):  # from the device's own code
                raise_with_traceback(error)
            names = ", ".join(thing.title for thing in things)
            print(f"{names}: {_reason(error)}", file=sys.stderr)  # noqa: T201 - the one line that a person reads
            raise SystemExit(2 if isinstance(error, ValueError) else 1) from None
        except Exception as error:  # noqa: BLE001 - the device's own code may raise anything; it ends the program
            raise_with_traceback(error)


@contextlib.contextmanager
def collecting() -> Iterator[list[Thing]]:
    """Gather what would be run instead of running it, for whoever imports a file that ends with `….run()`."""
    things: list[Thing] = []
    mark = _collected.set(things)
    try:
        yield things
    finally:
        _collected.reset(mark)


def raise_with_traceback(error: Exception) -> NoReturn:
    """Show what the device's own code raised, and end the program with code 1."""
    sys.excepthook(type(error), error, error.__traceback__)
    raise SystemExit(1) from None


async def _until_told(serving: Coroutine[object, object, None]) -> None:
    """Await until SIGINT or SIGTERM; either ends it in good order."""
    task = asyncio.create_task(serving)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, task.cancel)  # not on Windows, and in the main thread only
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _token_of(thing: Thing, token: str | Mapping[str, str] | None) -> str | None:
    if token is None:
        return os.environ.get("PLAIT_TOKEN") or None
    return token if isinstance(token, str) else token.get(thing.id)


def _reason(error: Exception) -> str:
    if isinstance(error, Unauthorized):
        return "the hub does not take this token; `plait hub token ID` makes one for a thing"
    if isinstance(error, (Forbidden, UnknownOperation)):
        return f"this is not a thing's token ({error})"
    if isinstance(error, InvalidDescription):
        return f"the hub does not take this thing: {error}"
    if isinstance(error, SessionLost):
        return f"stopped: {error}"
    return str(error)


def _show_log(reasons: logging.Filter) -> None:
    """Show what Plait logs, and nobody else, on standard error."""
    logger = logging.getLogger("plait")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(reasons)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


class _Reasons(logging.Filter):
    """Keeps the client's word on each try that failed, to be told once and not with every try."""

    def __init__(self) -> None:
        super().__init__()
        self.last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to show this line."""
        if record.name == "plait.client" and record.levelno <= logging.INFO:
            self.last = record.getMessage()
            return False
        return True
