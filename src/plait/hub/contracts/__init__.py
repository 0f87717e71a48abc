"""What the parts of the hub promise each other.

Rooms know this package and `plait.wire`, never each other and never the parts behind these names; `hub/main`
alone puts them together. A part can be exchanged (NATS for the bus, PostgreSQL for the store) where it keeps
its contract.
"""

from plait.hub.contracts.access import Access, Kind, Principal, Verb
from plait.hub.contracts.bus import THINGS_TOPIC, Bus, Notice, events_topic, values_topic
from plait.hub.contracts.clients import (
    Caller,
    CallServers,
    Client,
    Clients,
    Mark,
    SessionEnded,
    call_key,
    link_key,
)
from plait.hub.contracts.rooms import Answer, Handler, Later, Operation, Quiet, Room
from plait.hub.contracts.store import (
    PATIENCE,
    Done,
    Entry,
    Happening,
    NotKept,
    Reading,
    Store,
    microseconds,
    moment,
)
from plait.hub.contracts.things import Affordance, Pairing, PairingStore, Permissions, ThingRecord, Things

__all__ = [
    "PATIENCE",
    "THINGS_TOPIC",
    "Access",
    "Affordance",
    "Answer",
    "Bus",
    "CallServers",
    "Caller",
    "Client",
    "Clients",
    "Done",
    "Entry",
    "Handler",
    "Happening",
    "Kind",
    "Later",
    "Mark",
    "NotKept",
    "Notice",
    "Operation",
    "Pairing",
    "PairingStore",
    "Permissions",
    "Principal",
    "Quiet",
    "Reading",
    "Room",
    "SessionEnded",
    "Store",
    "ThingRecord",
    "Things",
    "Verb",
    "call_key",
    "events_topic",
    "link_key",
    "microseconds",
    "moment",
    "values_topic",
]
