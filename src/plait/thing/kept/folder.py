"""The folder in which a thing keeps what outlives its process."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def folder_of(thing_id: str, root: Path | None = None) -> Path:
    """Return a thing's folder: under `root`, else PLAIT_STATE, else the user's state folder (XDG)."""
    if root is None:
        named = os.environ.get("PLAIT_STATE")
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        root = Path(named) if named else Path(state) / "plait" / "things"
    return root / quote(thing_id, safe="")
