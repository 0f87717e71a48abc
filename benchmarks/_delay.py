"""A path with a delay, in user space: two UDP ports, and what comes in at one leaves from the other later.

Each end knows the other only by its port here, so this needs no rights and no kernel module, and is the same
for every library. Segment offload is used where the kernel has it (UDP_GRO, UDP_SEGMENT): then a burst costs
one turn of the loop. JSON lines: the address of the first end in, then the port that stands for it out, which
is to be given to the second end; then the same for the second end. It ends with standard input.
"""

from __future__ import annotations

import heapq
import json
import select
import socket
import struct
import sys
import time

UDP_SEGMENT, UDP_GRO = 103, 104
BUFFER = 8 << 20
Ancillary = list[tuple[int, int, bytes]]


def _port(host: str) -> socket.socket:
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        port.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    port.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    port.setblocking(False)
    port.bind((host, 0))
    return port


def _segment(ancillary: Ancillary) -> Ancillary:
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_UDP and kind == UDP_GRO:
            return [(level, UDP_SEGMENT, struct.pack("H", struct.unpack("i", value)[0]))]
    return []


def main(one_way: float) -> None:
    """Carry datagrams between two ends; `one_way` in seconds."""
    ends: list[tuple[str, int]] = []
    ports: list[socket.socket] = []
    while len(ends) < 2:
        host, number = json.loads(sys.stdin.readline())
        ends.append((host, number))
        ports.append(_port(host))
        print(json.dumps(ports[-1].getsockname()), flush=True)
    _carry(ends, ports, one_way)


def _carry(ends: list[tuple[str, int]], ports: list[socket.socket], one_way: float) -> None:
    waiting: list[tuple[float, int, int, bytes, Ancillary]] = []
    order = 0
    while True:
        wait = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        ready, _, _ = select.select([*ports, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            return
        for to, port in enumerate(ports):  # port `to` stands for end `to`, and the other end writes to it
            for _ in range(64):
                try:
                    data, ancillary, _, source = port.recvmsg(65535, 64)
                except BlockingIOError:
                    break
                if source == ends[1 - to]:
                    order += 1
                    due = time.monotonic() + one_way
                    heapq.heappush(waiting, (due, order, to, data, _segment(ancillary)))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, to, data, segment = heapq.heappop(waiting)
            try:
                ports[1 - to].sendmsg([data], segment, 0, ends[to])
            except OSError:
                continue  # a queue that is full loses it, as on any path


if __name__ == "__main__":
    main(float(sys.argv[1]))
