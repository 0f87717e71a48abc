"""Holds each packet of netfilter queue 7 for so many seconds, then lets it go: a delay without netem.

nfnetlink_queue by hand (linux/netfilter/nfnetlink_queue.h): packets stay in the kernel, only their numbers
come here.
"""

from __future__ import annotations

import heapq
import select
import socket
import struct
import sys
import time

QUEUE, SUBSYSTEM, PACKET, VERDICT, CONFIG = 7, 3, 0, 1, 2
COMMAND, PARAMETERS, LENGTH = 1, 2, 3  # attributes of a configuration message
ACCEPT = 1


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def message(kind: int, flags: int, data: bytes) -> bytes:
    body = struct.pack("BBH", 0, 0, socket.htons(QUEUE)) + data
    return struct.pack("IHHII", 16 + len(body), (SUBSYSTEM << 8) | kind, flags, 0, 0) + body


def numbers(data: bytes):
    """Yield the packets' numbers in what the kernel sent."""
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("IH", data, at)
        if kind == (SUBSYSTEM << 8) | PACKET:
            inner = at + 20
            while inner < at + length:
                size, name = struct.unpack_from("HH", data, inner)
                if name & 0x7FFF == 1:
                    yield struct.unpack_from(">I", data, inner + 4)[0]
                    break
                inner += (size + 3) & ~3
        at += (length + 3) & ~3


def main(delay: float) -> None:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
    netlink.bind((0, 0))
    netlink.setsockopt(270, 5, 1)  # SOL_NETLINK, NETLINK_NO_ENOBUFS
    for setting in (
        attribute(COMMAND, struct.pack(">BBH", 1, 0, socket.AF_INET)),
        attribute(PARAMETERS, struct.pack(">IB", 0, 1)),
        attribute(LENGTH, struct.pack(">I", 10_000)),
    ):
        netlink.send(message(CONFIG, 5, setting))
        error = struct.unpack_from("i", netlink.recv(4096), 16)[0]
        if error:
            raise OSError(-error, "the kernel has no queues for netfilter")
    print("up", flush=True)  # noqa: T201 - the lab waits for it
    held: list[tuple[float, int]] = []
    netlink.setblocking(False)
    while True:
        left = max(0.0, held[0][0] - time.monotonic()) if held else None
        if select.select([netlink], [], [], left)[0]:
            for number in numbers(netlink.recv(1 << 16)):
                heapq.heappush(held, (time.monotonic() + delay, number))
        while held and held[0][0] <= time.monotonic():
            verdict = attribute(2, struct.pack(">II", ACCEPT, heapq.heappop(held)[1]))
            netlink.send(message(VERDICT, 1, verdict))


if __name__ == "__main__":
    main(float(sys.argv[1]))
