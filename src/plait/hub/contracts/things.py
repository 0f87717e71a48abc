"""Things as the hub knows them, and things that use each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plait.wire.messages import Presence, PropertyState


class Affordance(Protocol):
    """A property, action or event of a thing's description, with its schemas compiled."""

    @property
    def readonly(self) -> bool:
        """Whether a property cannot be written."""

    def check(self, value: Any, member: str) -> None:
        """Raise `InvalidValue`, whose field is a JSON pointer that starts with this member of the message."""


@dataclass(slots=True)
class ThingRecord:
    """A thing as the hub knows it.

    Attributes:
        id: the `id` of its description.
        description: its Thing Description 1.1, as plain data.
        properties, actions, events: its affordances by name.
        presence: whether it is connected.
        values: the last committed value of each property.
    """

    id: str
    description: dict[str, Any]
    properties: Mapping[str, Affordance]
    actions: Mapping[str, Affordance]
    events: Mapping[str, Affordance]
    presence: Presence
    values: dict[str, PropertyState] = field(default_factory=dict)


class Things(Protocol):
    """The things that have described themselves."""

    def get(self, thing: str) -> ThingRecord:
        """Return a thing. Raises `UnknownThing`."""

    def all(self) -> Sequence[ThingRecord]:
        """Return every thing, in the order in which they were registered."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The owner's word that one thing may use another, without the hub too.

    Attributes:
        id: new with each word.
        caller, thing: the one that uses, and the one that is used.
        verbs: what the caller may do: `read`, `control`.
        names: the properties, actions and events that it is limited to; None for all.
        until: microseconds since 1970, UTC; None for as long as it is not taken back.
        lease: seconds for which each permission holds; the hub gives new ones while it is there.
    """

    id: str
    caller: str
    thing: str
    verbs: tuple[Literal["read", "control"], ...]
    names: tuple[str, ...] | None
    until: int | None
    lease: int


class PairingStore(Protocol):
    """Where pairings are kept."""

    def seed(self) -> bytes:
        """Return the hub's private key for permissions: 32 bytes, the same for life."""

    def all(self) -> Sequence[Pairing]:
        """Return every pairing."""

    def keep(self, pairing: Pairing) -> None:
        """Keep one, in place of an earlier one of the same two."""

    def drop(self, pairing: Pairing) -> None:
        """Forget one."""


class Permissions(Protocol):
    """Says which thing may use which."""

    def permission(self, caller: str, thing: str) -> tuple[str, str]:
        """Return the pairing's id and the signed permission.

        Raises `Forbidden`, and `Busy` where the two have not said yet who they are.
        """

    def revoked(self, pairing: str) -> str:
        """Return why a pairing holds no more; empty where it does."""
