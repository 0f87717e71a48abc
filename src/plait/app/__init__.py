"""Plait for programs: read, set, call, watch and see the things of a hub.

from plait import app

async with app.connect("http://127.0.0.1:8080", token="…") as home:
    await home.thing("Hall lamp").write("on", True)
"""

from plait.app.home import Home, connect
from plait.app.thing import ThingProxy
from plait.link.changes import Change

__all__ = ["Change", "Home", "ThingProxy", "connect"]
