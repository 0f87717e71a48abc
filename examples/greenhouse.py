"""Several things in one process, each with its own token and connection.

PLAIT_TOKENS='{"urn:dev:bed:1": "…", "urn:dev:bed:2": "…"}' python greenhouse.py
"""

import json
import os
from typing import Annotated

import msgspec
from msgspec import Meta

from plait.thing import Thing, action, prop, run


class Watering(msgspec.Struct):
    """How a bed is watered."""

    litres: Annotated[float, Meta(ge=0, le=50)]
    hour: Annotated[int, Meta(ge=0, le=23)] = 6


class Bed(Thing, types=["saref:Actuator"], context=[{"saref": "https://w3id.org/saref#"}]):
    """A bed of the greenhouse."""

    moisture: Annotated[float, Meta(ge=0, le=100)] = prop(40.0, readonly=True, unit="percent")
    plan: Watering = prop(Watering(5.0))

    @action
    def water(self, litres: Annotated[float, Meta(gt=0, le=10)] = 1.0) -> float:
        """Water now; returns the moisture."""
        self.moisture = min(100.0, self.moisture + 10 * litres)
        return self.moisture


if __name__ == "__main__":
    tokens = json.loads(os.environ["PLAIT_TOKENS"])
    run(*(Bed(thing_id, title=f"Bed {number}") for number, thing_id in enumerate(tokens, 1)), token=tokens)
