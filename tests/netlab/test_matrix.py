"""A small part of the matrix of networks, with our engine at both ends; `make netlab` runs all of it."""

from __future__ import annotations

import os
import shutil

import pytest

from .cells import SMALL, run_cell

MISSING = [name for name in ("nft", "iptables-legacy", "nsenter", "turnserver") if shutil.which(name) is None]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root"),
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)} (tools/setup system)"),
]


@pytest.mark.parametrize("cell", SMALL, ids=str)
async def test_they_meet(cell, tmp_path):
    result = await run_cell(cell, tmp_path)
    assert result.direct == cell.direct, result
    assert result.open < result.frame + 10
