"""What keeps people out of a page, as axe finds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Page

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

needs_axe = pytest.mark.skipif(not AXE.is_file(), reason="needs npm ci in web/")

OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""Pixels by which a page is wider than its window."""

# WCAG 2.2 A and AA, and good practice: what is broken, and where.
_BARRIERS = """async () => {
    // A colour that is still changing has less contrast than it will have.
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
    await Promise.allSettled(document.getAnimations().map(({finished}) => finished));
    return (await axe.run()).violations.map(
        ({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(" ")}`)}"""


async def barriers(page: Page) -> list[str]:
    """Return what is broken, and where; of a page without motion, whose animations come to their ends."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text("utf-8"))
    return await page.evaluate(_BARRIERS)
