"""One conversation over two kinds of transport: named channels, each with a delivery class.

`docs/protocol.md`, section 5. What carries the packets is the owner's matter; `wire.path` says which path is
better. `link.py` is an end of it, over `table.py` (which channels there are) and `schedule.py` (what goes
next).
"""

from plait.wire.link.events import Ended, Event, Fault, Opened, Received
from plait.wire.link.frames import Delivery, Ping, Pong
from plait.wire.link.link import VERSION, Link
from plait.wire.link.schedule import PACKET, Lane

__all__ = [
    "PACKET",
    "VERSION",
    "Delivery",
    "Ended",
    "Event",
    "Fault",
    "Lane",
    "Link",
    "Opened",
    "Ping",
    "Pong",
    "Received",
]
