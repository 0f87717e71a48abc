"""A small household: a camera, a lamp and a thermometer. What `plait demo` shows.

`python -m plait.gallery.household` serves the lamp and the thermometer from one process; the hub's address is
in PLAIT_HUB, and their tokens, as a JSON object by id, in PLAIT_TOKENS. The camera is `plait camera`'s, in a
process of its own: a picture that stutters must not make a lamp slow.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from plait.gallery.lamp import Lamp
from plait.gallery.thermometer import Thermometer
from plait.thing import run

if TYPE_CHECKING:
    from plait.thing import Thing

CAMERA: Final = "urn:dev:household:camera"
LAMP: Final = "urn:dev:household:lamp"
THERMOMETER: Final = "urn:dev:household:thermometer"


def small_things() -> list[Thing]:
    """Return the things that share a process."""
    return [Lamp(LAMP, title="Lamp"), Thermometer(THERMOMETER, title="Thermometer")]


if __name__ == "__main__":
    run(*small_things(), token=json.loads(os.environ["PLAIT_TOKENS"]))
