"""A present connection to a thing: one is opened as any app opens it, and looked at."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from plait.doctor.connection import explain
from plait.doctor.rungs import Failure

if TYPE_CHECKING:
    from plait.app.thing import ThingProxy
    from plait.doctor.connection import Explanation
    from plait.wire.path import Choice

OPEN_WITHIN: Final = 12.0
"""Seconds that a direct path may take; after it, the hub's is what there is."""

SETTLE: Final = 4.5
"""Seconds after that in which slower ways show whether they work: a check is sent again each second."""


async def look(thing: ThingProxy, *, within: float = OPEN_WITHIN, settle: float = SETTLE) -> Explanation:
    """Open a link to a thing, and explain the way that it takes.

    Raises:
        Offline: the thing is not there.
        Forbidden: the user may not control it.
        UnknownOperation: it takes no links.
    """
    opener = thing.link()
    async with opener as link:
        moved = asyncio.Event()

        def note(choice: Choice) -> None:
            if choice.name == "direct":
                moved.set()

        link.on_path = note
        note(link.path)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await moved.wait()
        await asyncio.sleep(settle)
        direct = opener.direct
        assert direct is not None  # noqa: S101 - a direct path is what was asked for
        report = await direct.report()
        return explain(
            report,
            failures=[Failure(each.url, each.error_code, each.error_text) for each in direct.failures],
            urls=[url for server in direct.servers for url in _urls(server.urls)],
            hub=link.stats().get("hub", {}).get("rtt"),
            over_hub="" if link.path.name == "direct" else link.path.reason,
        )


def _urls(urls: str | tuple[str, ...]) -> tuple[str, ...]:
    return (urls,) if isinstance(urls, str) else urls
