"""A call and a link live on through changes of networks, NATs and the hub; `make netlab` measures them."""

from __future__ import annotations

import pytest

from .changes import CHANGES, run_change
from .test_matrix import pytestmark as conditions

pytestmark = [*conditions, pytest.mark.timeout(150)]

QUICK = [CHANGES[0]]
"""What CI runs."""
OTHERS = [pytest.param(change, marks=pytest.mark.long) for change in CHANGES if change not in QUICK]


@pytest.mark.parametrize("change", [*QUICK, *OTHERS], ids=str)
async def test_it_lives_on(change, tmp_path):
    outcome = await run_change(change, tmp_path)
    # The aim is 3 s (docs/networks.md); what others do on this machine at the moment is not to fail it.
    assert outcome.gap < 10, outcome
