"""What `/metrics` tells (Prometheus text format). Most is counted elsewhere, and read only when asked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from plait.hub.turn import metrics as turn_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from plait.hub.client import LiveClient
    from plait.hub.outbox import Traffic


class Metrics(Collector):
    """The figures of one hub.

    Args:
        traffic: counts of the connections.

    Attributes:
        clients: the live sessions, when asked.
        readings: readings committed so far, when asked.
        waiting: writes that wait for their transaction, when asked.
        door: counters of the listener, when asked.
        turn: counters of the TURN server, when asked.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.clients: Callable[[], Iterable[LiveClient]] = tuple
        self.readings: Callable[[], int] = int
        self.waiting: Callable[[], int] = int
        self.door: Callable[[], Mapping[str, float]] = dict
        self.turn: Callable[[], Mapping[str, int]] = dict
        self._registry = CollectorRegistry()
        self._commits = Histogram(
            "plait_commit_seconds",
            "Time of one commit to the store, fsync included.",
            registry=self._registry,
            buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
        )
        self._writes = 0
        self._registry.register(self)

    def committed(self, seconds: float, writes: int) -> None:
        """Count a commit; called on the store's thread."""
        self._commits.observe(seconds)
        self._writes += writes

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Read what is counted elsewhere."""
        connected: Counter[str] = Counter()
        sessions: Counter[str] = Counter()
        unacknowledged = waiting = 0
        for client in self.clients():
            sessions[client.principal.kind] += 1
            connected[client.principal.kind] += client.connected
            unacknowledged += client.session.buffered
            waiting += client.outbox.waiting
        yield _by_kind("plait_connections", "Connections, by what is at the other end.", connected)
        yield _by_kind("plait_sessions", "Sessions, those included that may come back.", sessions)
        yield CounterMetricFamily(
            "plait_messages_received", "Messages from clients.", value=self._traffic.messages_in
        )
        yield CounterMetricFamily(
            "plait_messages_sent", "Messages to clients.", value=self._traffic.messages_out
        )
        yield CounterMetricFamily(
            "plait_messages_bad", "Messages that could not be read.", value=self._traffic.messages_bad
        )
        yield CounterMetricFamily("plait_readings_committed", "Readings kept.", value=self.readings())
        yield CounterMetricFamily("plait_writes_committed", "Writes to the store.", value=self._writes)
        yield GaugeMetricFamily("plait_writes_waiting", "Writes not yet begun.", value=self.waiting())
        outbox = GaugeMetricFamily("plait_outbox_bytes", "Bytes on their way to clients.", labels=["state"])
        outbox.add_metric(["unacknowledged"], unacknowledged)
        outbox.add_metric(["waiting"], waiting)
        yield outbox
        for name, value in self.door().items():
            yield GaugeMetricFamily(f"plait_door_{name}", "Counted by the listener.", value=value)
        yield from turn_metrics.families(self.turn())


def _by_kind(name: str, text: str, counts: Counter[str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=["kind"])
    for kind in ("thing", "user", "service"):
        family.add_metric([kind], counts[kind])
    return family
