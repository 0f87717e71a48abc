"""A device driver that blocks: plain functions and threads do, no async needed.

PLAIT_TOKEN=$(plait hub token urn:dev:scale) python blocking_sensor.py
"""

import threading
import time
from typing import Literal

from plait.thing import Thing, action, prop


class Scale(Thing):
    """Kitchen scales on a serial port."""

    grams: float = prop(readonly=True, unit="gram")
    unit: Literal["g", "oz"] = prop("g")

    def __init__(self, thing_id: str) -> None:
        super().__init__(thing_id)
        self._zero = 0.0
        threading.Thread(target=self._read_for_ever, daemon=True).start()

    def _read_for_ever(self) -> None:
        while True:
            time.sleep(0.5)  # stands for a serial port's blocking read
            self.grams = 250.0 - self._zero  # may be assigned on any thread

    @action
    def tare(self) -> float:
        """Take what lies on it for zero. It is not async, so it runs in a thread of its own."""
        time.sleep(0.2)
        self._zero = 250.0
        return self._zero


if __name__ == "__main__":
    Scale("urn:dev:scale").run()
