"""The age of small messages that arrive over a path that loses: an unreliable channel, and a reliable one.

Hot path: 1,000 messages of 100 bytes a second, each with the time of its sending, over a path of 20 ms one
way that loses 5 % in both directions (`_impair.py`, a process of its own). Both ends are in this process, so
that one clock times them; the two kinds of channel have a connection and a run each.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from benchmarks.channel import said, started, tell
from plait.rtc import PeerConnection, SessionDescription

if TYPE_CHECKING:
    from plait.rtc import DataChannel

DELAY, LOSS, EVERY, SIZE = 0.02, 0.05, 0.001, 100
KINDS: dict[str, dict[str, Any]] = {
    "unreliable": {"ordered": False, "max_retransmits": 0},
    "reliable": {},
}
HOST = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host", re.MULTILINE)


async def _through(path: asyncio.subprocess.Process, sdp: str) -> str:
    if (found := HOST.search(sdp)) is None:
        raise RuntimeError("an end has no IPv4 host candidate")
    await tell(path, ["end", found[1], int(found[2])])
    host, port = await said(path)
    kept = [line for line in sdp.splitlines() if not line.startswith("a=candidate:")]
    at = next(index for index, line in enumerate(kept) if line.startswith("a=ice-ufrag:"))
    kept.insert(at, f"a=candidate:1 1 udp 2130706431 {host} {port} typ host")
    return "\r\n".join(kept) + "\r\n"


async def _send(channel: DataChannel, seconds: float) -> int:
    began = time.perf_counter()
    sent = 0
    while (now := time.perf_counter()) < began + seconds:
        while began + sent * EVERY <= now:
            channel.send_nowait(struct.pack("d", time.perf_counter()) + bytes(SIZE - 8))
            sent += 1
        await asyncio.sleep(EVERY / 2)
    return sent


async def measure(kind: str, seconds: float) -> dict[str, float]:
    """Send for so long on a channel of a kind.

    Returns:
        `p50` and `p99`, the age of what arrived in ms, and `arrived`, its share.
    """
    async with started("benchmarks._impair", "1") as path, PeerConnection() as a, PeerConnection() as b:
        await tell(path, ["set", {"delay": DELAY}])
        await said(path)
        there: asyncio.Queue[DataChannel] = asyncio.Queue()
        b.on_data_channel = there.put_nowait
        mine = a.create_data_channel(kind, **KINDS[kind])
        offer = SessionDescription("offer", await _through(path, (await a.create_offer()).sdp))
        answer = await b.accept(offer)
        await a.set_answer(SessionDescription("answer", await _through(path, answer.sdp)))
        await mine.opened()
        theirs = await there.get()
        ages: list[float] = []

        def take(message: bytes | str) -> None:
            assert isinstance(message, bytes)
            ages.append(time.perf_counter() - struct.unpack_from("d", message)[0])

        theirs.on_message = take
        await tell(path, ["set", {"loss": LOSS}])
        await said(path)
        sent = await _send(mine, seconds)
        # The last of them; what a reliable channel still owes then counts as not arrived.
        await asyncio.sleep(2)
    cuts = statistics.quantiles(ages, n=100)
    return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3, "arrived": len(ages) / sent}


async def ages(seconds: float) -> dict[str, float]:
    """Return the figures of `engine` that are taken here, by name."""
    return {f"{kind}_age_p99": (await measure(kind, seconds))["p99"] for kind in KINDS}


if __name__ == "__main__":
    for one in KINDS:
        print(one, json.dumps(asyncio.run(measure(one, float(sys.argv[1])))))
