"""Plait for devices: a Python class becomes a thing that apps see, set and call.

from plait.thing import Thing, action, event, prop

class Lamp(Thing):
    on: bool = prop(False)

Lamp("urn:dev:lamp").run()
"""

from plait.thing.affordances import Emitter, Event, action, event, prop
from plait.thing.errors import DefinitionError
from plait.thing.runner import run, serve
from plait.thing.thing import Thing

__all__ = ["DefinitionError", "Emitter", "Event", "Thing", "action", "event", "prop", "run", "serve"]
