"""The bus of a hub that is one process: a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from plait.hub.contracts import Notice

_log = structlog.get_logger("plait.hub")


class LocalBus:
    """Publish and subscribe within one event loop; subscribers have a notice when `publish` returns."""

    def __init__(self) -> None:
        # Dictionaries for their order and for removal in constant time; the keys tell one subscription from
        # another.
        self._topics: dict[str, dict[object, Callable[[Notice], None]]] = {}

    def publish(self, topic: str, notice: Notice) -> None:
        """Hand a notice to every subscriber of the topic; one that raises disturbs no other."""
        subscribers = self._topics.get(topic)
        if subscribers is None:
            return
        for receive in list(subscribers.values()):
            try:
                receive(notice)
            except Exception:  # noqa: BLE001 - a subscriber that fails disturbs no other
                _log.exception("subscriber failed", topic=topic)

    def subscribe(self, topic: str, receive: Callable[[Notice], None]) -> Callable[[], None]:
        """Hand every later notice of the topic to `receive`; returns what ends that."""
        key = object()
        self._topics.setdefault(topic, {})[key] = receive

        def end() -> None:
            subscribers = self._topics.get(topic)
            if subscribers is not None and subscribers.pop(key, None) is not None and not subscribers:
                del self._topics[topic]

        return end
