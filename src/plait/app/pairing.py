"""Letting one thing use another, without the hub too: the owner's word, given and taken back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from plait.wire import messages
from plait.wire.codec import convert

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from plait.app.home import Home

Verb = Literal["read", "control"]


class Pairing(msgspec.Struct, kw_only=True, rename={"caller": "with", "thing": "thingID"}):
    """One thing's right to use another.

    Attributes:
        id: new with each word of the owner.
        caller, thing: the ids of the one that uses, and of the one that is used.
        verbs: `read`, `control`.
        names: the properties, actions and events that it is limited to; None for all.
        until: when it ends; None where it is only taken back.
        lease: seconds for which the two go on without the hub.
        waiting: those of the two that are not there just now: it begins when they are.
    """

    id: str
    caller: str
    thing: str
    verbs: list[Verb]
    names: list[str] | None = None
    until: datetime | None = None
    lease: int = 0
    waiting: list[str] = []


async def pair(
    home: Home,
    caller: str,
    thing: str,
    *,
    verbs: Sequence[Verb] = ("read", "control"),
    names: Sequence[str] | None = None,
    until: datetime | None = None,
    lease: timedelta | None = None,
) -> Pairing:
    """Let one thing use another; an earlier word about the two is replaced.

    Args:
        home: the hub.
        caller: the id of the thing that is to use the other.
        thing: the other's id.
        verbs: what it may do.
        names: the properties, actions and events that it may use; all of them where absent.
        until: when that ends, with a UTC offset; absent, when it is taken back.
        lease: how long the two go on while the hub is away; 24 h where absent.

    Raises:
        Forbidden: the user may not manage both.
        UnknownThing: there is no such thing.
        UnknownOperation: one of the two is of a release that cannot be paired.
        InvalidValue: these do not fit.
    """
    asked = {
        "with": caller,
        "verbs": list(verbs),
        "names": None if names is None else list(names),
        "until": None if until is None else until.isoformat(),
        "lease": None if lease is None else int(lease.total_seconds()),
    }
    given = {member: value for member, value in asked.items() if value is not None}
    answer = await home.client.request(messages.PAIR, thing_id=thing, input=given)
    return convert(answer.output, Pairing, field="/output")


async def unpair(home: Home, caller: str, thing: str) -> None:
    """Take it back: their link ends at once, or when the permission is over where neither has its hub.

    Raises:
        InvalidValue: the two are not paired.
    """
    await home.client.request(messages.UNPAIR, thing_id=thing, input={"with": caller})


async def pairings(home: Home) -> list[Pairing]:
    """Return which things may use which."""
    answer = await home.client.request(messages.READ_PAIRINGS)
    return convert(answer.value, list[Pairing], field="/value")
