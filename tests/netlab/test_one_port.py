"""One TCP port is enough: two ends that get out to TCP 443 alone meet in the hub's own TURN server there."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from .house import house, now
from .lab import Lab
from .test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.timeout(120)]


async def test_a_strict_device_and_a_strict_viewer_see_each_other(tmp_path):
    """Nothing but the hub is there: no coturn, no setting. Video, and a link, both ways relayed."""
    with Lab() as lab:
        async with (
            house(lab, tmp_path, "tcp443", "tcp443") as home,
            home.watch(link=True) as viewer,
        ):
            await viewer.shown("video", after=0)
            await viewer.until(lambda: len(viewer.numbers) > 100)
            assert viewer.numbers == list(range(viewer.numbers[0], viewer.numbers[-1] + 1))
            since = now()
            await viewer.shown("video", after=since + 3)
            assert viewer.gap(since) < 2


async def test_so_do_a_strict_device_and_a_strict_browser(tmp_path):
    with Lab() as lab:
        async with house(lab, tmp_path, "tcp443", "tcp443") as home, home.page() as page:
            await expect(page.get_by_test_id("live")).to_be_visible(timeout=45_000)
            await expect(page.get_by_test_id("path")).to_have_attribute("data-kind", "relayed")
