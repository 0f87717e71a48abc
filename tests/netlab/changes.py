"""Changes under way: a call and a link while a network, a NAT or the hub changes beneath them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from .house import house, now
from .lab import Lab

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .house import House

SETTLED = 2.0
"""Seconds of undisturbed video before the change, and after the picture is back."""
WITHIN = 40.0


@dataclass(frozen=True)
class Change:
    """A change, and between which networks.

    Attributes:
        words: what happens.
        device, viewer: the NAT that each is behind.
        do: makes it happen; returns the moment from which the time is counted.
    """

    words: str
    device: str
    viewer: str
    do: Callable[[House], Awaitable[float]]

    def __str__(self) -> str:
        return f"{self.words}, {self.device} and {self.viewer}".replace(" ", "-").replace(",", "")


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        gap: the longest time without a frame of video from the change on, in seconds.
        numbers: how many numbers the link brought, all of them in order.
    """

    gap: float
    numbers: int


async def device_moves(home: House) -> float:
    """From Wi-Fi to mobile: another address, another router, no warning."""
    moment = now()
    home.device.move(101)
    return moment


async def viewer_moves(home: House) -> float:
    """The same of the viewer."""
    moment = now()
    home.viewer.move(102)
    return moment


async def device_is_away(home: House) -> float:
    """The address is gone for 3 s, and is the same then. Counted from its return."""
    home.device.leave()
    await asyncio.sleep(3)
    home.device.come_back()
    return now()


async def nat_forgets(home: House) -> float:
    """The device's NAT forgets its mappings."""
    moment = now()
    home.device.forget()
    return moment


async def hub_is_killed(home: House) -> float:
    """The hub is killed, and started again."""
    moment = now()
    await home.stop_hub()
    await home.start_hub()
    return moment


async def relay_is_killed(home: House) -> float:
    """The same where the hub relays the call. Counted from its return: before that nobody relays."""
    await hub_is_killed(home)
    return now()


async def hub_is_restarted(home: House) -> float:
    """The hub ends in good order, and is started again."""
    moment = now()
    await home.stop_hub(kill=False)
    await home.start_hub()
    return moment


CHANGES = (
    Change("the device comes to another network", "cone", "cone", device_moves),
    Change("the device comes to another network", "symmetric", "symmetric", device_moves),
    Change("the viewer comes to another network", "cone", "cone", viewer_moves),
    Change("the device's address is gone for 3 s, and is back", "cone", "cone", device_is_away),
    Change("the device's NAT forgets its mappings", "cone", "cone", nat_forgets),
    Change("the device's NAT forgets its mappings", "symmetric", "symmetric", nat_forgets),
    Change("the hub is killed and started again", "cone", "cone", hub_is_killed),
    Change("the hub is restarted in good order", "cone", "cone", hub_is_restarted),
    Change("the hub, which relays, is killed, and is back", "symmetric", "symmetric", relay_is_killed),
)


NOTE_FRAMES = """() => {
    const video = document.querySelector("[data-testid=video]");
    window.shown = [];
    const note = () => { shown.push(performance.now()); video.requestVideoFrameCallback(note); };
    video.requestVideoFrameCallback(note);
}"""


async def run_page_change(change: Change, folder: Path) -> float:
    """Have Chromium show the camera, and make the change; return the longest time without a frame of video.

    Raises:
        playwright.async_api.TimeoutError: no video any more.
    """
    with Lab() as lab:
        async with AsyncExitStack() as stack:
            home = await stack.enter_async_context(house(lab, folder, change.device, change.viewer))
            page = await stack.enter_async_context(home.page())
            await page.get_by_test_id("live").wait_for(timeout=WITHIN * 1000)
            await page.evaluate(NOTE_FRAMES)
            await asyncio.sleep(SETTLED)
            moment = await page.evaluate("performance.now()")
            ours = now()
            counted = moment + (await change.do(home) - ours) * 1000
            back = "after => shown.some((at) => at > after + 500)"
            await page.wait_for_function(back, arg=counted, timeout=WITHIN * 1000)
            await asyncio.sleep(SETTLED)
            times = [counted, *(at for at in await page.evaluate("shown") if at > counted)]
            return max(b - a for a, b in pairwise(times)) / 1000


async def run_change(change: Change, folder: Path) -> Outcome:
    """Have a Python viewer watch the camera and take its numbers, and make the change.

    Raises:
        AssertionError: no video any more, or a number is missing, doubled or out of order.
    """
    with Lab() as lab:
        async with AsyncExitStack() as stack:
            home = await stack.enter_async_context(house(lab, folder, change.device, change.viewer))
            viewer = await stack.enter_async_context(home.watch(link=True))
            await viewer.shown("video", after=0)
            await viewer.until(lambda: len(viewer.numbers) > 100)
            await asyncio.sleep(SETTLED)
            count = len(viewer.numbers)
            moment = await change.do(home)
            await viewer.shown("video", after=moment + 0.5, within=WITHIN)
            await asyncio.sleep(SETTLED)
            await viewer.until(lambda: len(viewer.numbers) > count + 200, WITHIN)
            assert viewer.numbers == list(range(len(viewer.numbers)))
            return Outcome(viewer.gap(moment), len(viewer.numbers))
