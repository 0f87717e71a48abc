"""The one place that says who may do what: now, a user or service may all, a thing only itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plait.wire.errors import Forbidden

if TYPE_CHECKING:
    from plait.hub.contracts import Principal, Verb


class OwnerAccess:
    """The access check of a hub with one owner; spaces and roles come behind the same two methods."""

    def may(self, principal: Principal, thing: str, verb: Verb) -> bool:
        """Return whether this principal may do this with this thing."""
        del verb  # the owner may all, and so may a thing with itself
        return principal.kind != "thing" or principal.id == thing

    def check(self, principal: Principal, thing: str, verb: Verb) -> None:
        """Raise `Forbidden`."""
        if not self.may(principal, thing, verb):
            raise Forbidden(f"{principal} may not {verb} {thing}", field="/thingID")
