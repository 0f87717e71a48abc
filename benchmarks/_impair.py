"""A bad path, in user space: two UDP ports, between which datagrams are lost, doubled, delayed and overtaken.

Each end knows the other only by its port here, so this needs no rights and no kernel module, and serves
every library. It is a process of its own. What befalls a datagram is drawn from a seeded generator, one a
direction.

JSON lines in, each answered by one line:
- `["end", host, port]`, twice: an end; the answer is the address here that stands for it, for the other end;
- `["set", {...}]`: members of `Impairment` from now on;
- `["replay", count, rate]`: send what was kept of each direction (`keep`) once more to where it went, in the
  order of the first time, `count` times over at `rate` datagrams a second; the answer comes at once;
- `["flood", end, count]`: send as many random datagrams to that end (0 or 1), as fast as goes, from the
  address that stands for the other; `counts` tells how many are left;
- `["kept", end]`: the first of what was kept on its way to that end, in hexadecimal;
- `["counts"]`: what became of the datagrams so far.

It ends with standard input.
"""

from __future__ import annotations

import heapq
import json
import random
import select
import socket
import sys
import time
from dataclasses import dataclass, fields
from typing import Any

BUFFER = 8 << 20
KEEP_MOST = 5000
"""Datagrams of one direction that are kept for `replay`."""
TELL_MOST = 100
"""Of them, those that `kept` tells."""
FLOOD_AT_ONCE = 100
"""Datagrams of a flood before others get their turn."""
LENGTHS = (0, 1, 11, 19, 50, 300, 1200)
"""Bytes after the first of a random datagram."""


@dataclass
class Impairment:
    """What the path does.

    Attributes:
        delay: seconds one way.
        loss: share of datagrams that are lost.
        duplicate: share that arrives twice, the second time up to `late` seconds later.
        reorder: share that arrives up to `late` seconds later than the others.
        late: seconds.
        keep: copies are kept for `replay`.
        rate: bits a second that each direction carries; 0 for no limit.
        queue: seconds of traffic that wait for their turn under `rate`; what is more is lost.
    """

    delay: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    late: float = 0.02
    keep: bool = False
    rate: float = 0.0
    queue: float = 0.2


class Path:
    """Two ends, the two ports that stand for them, and what is on its way."""

    def __init__(self, seed: int) -> None:
        self.impairment = Impairment()
        self.ends: list[tuple[str, int]] = []
        self.ports: list[socket.socket] = []
        self.counts = {"carried": 0, "lost": 0, "doubled": 0, "late": 0, "replayed": 0, "flood": 0}
        self._random = [random.Random(seed * 2), random.Random(seed * 2 + 1)]
        self._kept: list[list[bytes]] = [[], []]
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._order = 0
        self._flooded = 0
        self._free_at = [0.0, 0.0]

    def command(self, name: str, *arguments: Any) -> Any:
        """Do what a line says, and return the answer."""
        if name == "end":
            port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                port.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            port.setblocking(False)
            port.bind((arguments[0], 0))
            self.ends.append((arguments[0], arguments[1]))
            self.ports.append(port)
            return port.getsockname()
        if name == "set":
            for key, value in arguments[0].items():
                if key not in {field.name for field in fields(Impairment)}:
                    raise ValueError(key)
                setattr(self.impairment, key, value)
            return None
        if name == "replay":
            self._replay(*arguments)
            return [len(kept) for kept in self._kept]
        if name == "flood":
            self._flooded, self.counts["flood"] = arguments
            return None
        if name == "kept":
            return [data.hex() for data in self._kept[arguments[0]][:TELL_MOST]]
        return self.counts

    def flood(self) -> bool:
        """Send a part of the flood, and say whether there is more."""
        chance, to = self._random[0], self._flooded
        for left in range(self.counts["flood"], max(0, self.counts["flood"] - FLOOD_AT_ONCE), -1):
            # Every first byte there is: STUN, DTLS, SRTP and none of them.
            data = bytes([left % 256]) + chance.randbytes(chance.choice(LENGTHS))
            try:
                self.ports[1 - to].sendto(data, self.ends[to])
            except OSError:
                continue
        self.counts["flood"] = max(0, self.counts["flood"] - FLOOD_AT_ONCE)
        return self.counts["flood"] > 0

    def _replay(self, count: int, rate: float) -> None:
        at = time.monotonic()
        for _ in range(count):
            for to, kept in enumerate(self._kept):
                for data in kept:
                    at += 1 / rate
                    self.counts["replayed"] += 1
                    self._push(at, to, data)

    def _push(self, at: float, to: int, data: bytes) -> None:
        self._order += 1
        heapq.heappush(self._waiting, (at, self._order, to, data))

    def take(self, to: int) -> None:
        """Take what the other end has written to the port that stands for end `to`."""
        for _ in range(64):
            try:
                data, source = self.ports[to].recvfrom(65535)
            except OSError:
                return  # nothing left, or word that an end is gone
            if len(self.ends) < 2 or source[1] != self.ends[1 - to][1]:
                continue
            what, chance = self.impairment, self._random[to]
            if what.keep and len(self._kept[to]) < KEEP_MOST:
                self._kept[to].append(data)
            if chance.random() < what.loss:
                self.counts["lost"] += 1
                continue
            if (passed := self._bottleneck(to, len(data))) is None:
                self.counts["lost"] += 1
                continue
            at = passed + what.delay
            if chance.random() < what.duplicate:
                self.counts["doubled"] += 1
                self._push(at + chance.random() * what.late, to, data)
            if chance.random() < what.reorder:
                self.counts["late"] += 1
                at += chance.random() * what.late
            self._push(at, to, data)

    def _bottleneck(self, to: int, size: int) -> float | None:
        """Return when a datagram of `size` bytes is through, or None if the queue is full."""
        what, now = self.impairment, time.monotonic()
        if not what.rate:
            return now
        begin = max(now, self._free_at[to])
        if begin - now > what.queue:
            return None
        self._free_at[to] = begin + size * 8 / what.rate
        return self._free_at[to]

    def deliver(self) -> float | None:
        """Send what is due, and return how many seconds the next has to wait, if there is one."""
        while self._waiting and (wait := self._waiting[0][0] - time.monotonic()) > 0:
            return wait
        for _ in range(256):
            if not self._waiting or self._waiting[0][0] > time.monotonic():
                break
            _, _, to, data = heapq.heappop(self._waiting)
            try:
                self.ports[1 - to].sendto(data, self.ends[to])
                self.counts["carried"] += 1
            except OSError:
                self.counts["lost"] += 1  # a full queue loses it, as on any path
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None


def main(seed: int) -> None:
    """Carry datagrams and follow commands until standard input ends."""
    path = Path(seed)
    wait: float | None = None
    while True:
        ready, _, _ = select.select([*path.ports, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            print(json.dumps(path.command(*json.loads(line))), flush=True)
        for to, port in enumerate(path.ports):
            if port in ready:
                path.take(to)
        wait = path.deliver()
        if path.flood():
            wait = 0.0


if __name__ == "__main__":
    main(int(sys.argv[1]))
