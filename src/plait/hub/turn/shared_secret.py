"""TURN servers that take credentials of the hub's: those outside that share a secret with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plait.hub.turn.credentials import Signer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from plait.hub.contracts import Client
    from plait.hub.rooms.ice import RelayServer
    from plait.hub.settings import Settings


class SharedSecretServers:
    """TURN servers elsewhere, such as coturn with `use-auth-secret`. They hear of no call's end.

    Args:
        urls: RFC 7065, for everybody.
        signer: has the secret that they know, too.
    """

    def __init__(self, urls: Sequence[str], signer: Signer) -> None:
        self._urls = list(urls)
        self._signer = signer

    def given(self, call: str, thing: str, end: Client) -> list[dict[str, Any]]:
        """Return them, with credentials for this end of this call."""
        username, credential = self._signer.credential(call, str(end.principal), thing)
        return [{"urls": self._urls, "username": username, "credential": credential}]

    def permit(self, call: str, end: Client, address: str, port: int) -> None:
        """Nothing to do: what may be a peer is in their own configuration."""

    def end_call(self, call: str) -> None:
        """Nothing to do: their relays end when nobody refreshes them."""


def shared(settings: Settings) -> list[RelayServer]:
    """Return the servers that the settings name.

    Raises:
        OSError: the file of the secret cannot be read.
        ValueError: there is no secret in it.
    """
    found: list[RelayServer] = []
    if settings.turn_urls:
        signer = Signer(settings.shared_secret(), settings.turn_lifetime)
        found.append(SharedSecretServers(settings.turn_urls, signer))
    return found
