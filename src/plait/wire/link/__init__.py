"""One conversation over two kinds of transport: named channels, each with a delivery class.

`docs/protocol.md`, section 5. What carries the packets is the owner's matter; `wire.path` says which path is
better.
"""

from plait.wire.link.frames import Delivery, Ping, Pong
from plait.wire.link.link import (
    PACKET,
    VERSION,
    Ended,
    Event,
    Fault,
    Lane,
    Link,
    Opened,
    Received,
)

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
