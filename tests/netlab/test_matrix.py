"""A small part of the matrix of networks, with our engine at both ends; `make netlab` runs all of it."""

from __future__ import annotations

import os
import shutil

import pytest

from .cells import IPV6, SMALL, Cell, lab_of, once
from .lab import Way

MISSING = [
    name
    for name in ("nft", "iptables-legacy", "nsenter", "conntrack", "turnserver")
    if shutil.which(name) is None
]

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces take root"),
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)} (tools/setup system)"),
]


async def test_they_meet_whatever_nats_they_are_behind(tmp_path):
    async with lab_of(SMALL[0], tmp_path) as home:
        for cell in SMALL:
            home.device.become(cell.device)
            home.viewer.become(cell.viewer)
            async with home.caller() as caller:
                result = await once(caller)
                assert not isinstance(result, str), (str(cell), result)
                assert result.direct == cell.direct, (str(cell), result)


@pytest.mark.parametrize(
    "cell",
    [
        Cell(IPV6, "cone"),
        pytest.param(Cell("cone", "cone", Way(delay=0.05, loss=5)), marks=pytest.mark.long),
    ],
    ids=str,
)
async def test_they_meet(cell, tmp_path):
    async with lab_of(cell, tmp_path) as home, home.caller() as caller:
        result = await once(caller)
        assert not isinstance(result, str), result
        assert result.direct == cell.direct, result
