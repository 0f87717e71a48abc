"""What the hub's TURN server counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.metrics_core import Metric

NOW: Final = {
    "allocations": "Relayed addresses.",
    "users": "Users and things that have relayed addresses.",
    "streams": "Connections over TCP.",
    "calls": "Calls and links that have relayed addresses, or are kept.",
}

SINCE: Final = {
    "allocated": "Relayed addresses given.",
    "bindings": "STUN binding requests answered.",
    "relayed_bytes_in": "Bytes from clients that were relayed.",
    "relayed_bytes_out": "Bytes to clients that were relayed.",
    "relayed_datagrams_in": "Datagrams from clients that were relayed.",
    "relayed_datagrams_out": "Datagrams to clients that were relayed.",
    "inside": "Datagrams between two relays of this server, which never left it.",
    "refused_credentials": "Requests with wrong credentials.",
    "refused_expired": "Requests with credentials that have run out, or whose call is over.",
    "refused_quota": "Requests beyond a user's number of relays.",
    "refused_capacity": "Requests for which there was no port or memory.",
    "refused_streams": "Connections for which there was no room.",
    "refused_peers": "Requests for a peer that nobody may reach.",
    "refused_candidates": "Signaled candidates that nobody may reach.",
    "refused_rate": "Datagrams beyond a user's rate.",
    "refused_challenges": "Challenges not sent, since an address asked for too many.",
    "discarded": "Datagrams that were neither STUN nor a known client's.",
    "not_permitted": "Datagrams from or to a peer without a permission.",
    "lost": "Datagrams that the kernel did not take.",
}


def families(counters: Mapping[str, int]) -> Iterator[Metric]:
    """Yield one metric a counter; none that has no help text."""
    for name, text in NOW.items():
        if name in counters:
            yield GaugeMetricFamily(f"plait_turn_{name}", text, value=counters[name])
    for name, text in SINCE.items():
        if name in counters:
            yield CounterMetricFamily(f"plait_turn_{name}", text, value=counters[name])
