"""A real hub for tests of links."""

from __future__ import annotations

import pytest

from plait.testing import running_hub


@pytest.fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as hub:
        yield hub
