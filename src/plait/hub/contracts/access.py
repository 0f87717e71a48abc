"""Who somebody is, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Kind = Literal["thing", "user", "service"]
Verb = Literal["read", "control", "watch", "talk", "manage"]
"""What a principal may do with a thing.

See it and its values; set and run it; see its picture; speak through it; administer it.
"""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is at the other end, as its credential says.

    Attributes:
        kind: a device, a person, or a program that acts for itself.
        id: a thing's id, or a user's or service's name.
        credential: the public id of the credential that it came with; of no account in who it is.
    """

    kind: Kind
    id: str
    credential: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class Access(Protocol):
    """The one place that says who may do what."""

    def may(self, principal: Principal, thing: str, verb: Verb) -> bool:
        """Return whether this principal may do this with this thing."""

    def check(self, principal: Principal, thing: str, verb: Verb) -> None:
        """Raise `Forbidden`, or `UnknownThing` where the principal may not even know of the thing."""
