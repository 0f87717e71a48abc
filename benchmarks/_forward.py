"""Forwarding one 720p30 H.264 stream of 1 Mbit/s to N viewers: what it costs the process that forwards.

Three processes, joined on loopback: a camera, the relay (on a core of its own) and the viewers (on the
other, with the camera), which are real WebRTC ends that take packets, answer with feedback and repair.
`measure` runs them. Each is a role of this module and speaks JSON lines; see `camera`, `relay`, `viewers`.

The relay's CPU time is that of its whole process, Python's thread included, from the kernel's counters.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import os
import sys
import time
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks._passthrough import CLOCK, HEIGHT, RATE, WIDTH, _lines, _say
from benchmarks.channel import said, started, tell
from plait.rtc import EncodedFrame, Forwarder, PeerConnection, SessionDescription

COUNTS = (1, 10, 50, 100, 300)
BIT_RATE = 1_000_000
FRAMES = 240
# Viewers that connect at a time: a hundred DTLS handshakes at once would take longer than their patience.
BATCH = 25
SETTLE = 1.5
SILENCE = 0.7
MOST_LOST = 0.001
# The viewers' core is shared with whoever else is on the machine: what they lose is measured again.
ATTEMPTS = 3
# A core cannot be filled to the last without packets that wait.
FILL = 0.9


def pictures() -> list[tuple[bytes, bool]]:
    """Return eight seconds of the street, encoded again to 1 Mbit/s, as Annex B access units."""
    source = Path(__file__).parents[1] / "src/plait/media/clips/street.mp4"
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.bit_rate, codec.framerate = BIT_RATE, fractions.Fraction(RATE)
    codec.time_base = fractions.Fraction(1, RATE)
    codec.gop_size = 2 * RATE
    codec.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "baseline",
        "maxrate": str(BIT_RATE),
        "bufsize": str(BIT_RATE // 2),
        "x264-params": "slices=1:nal-hrd=cbr",
    }
    units: list[tuple[bytes, bool]] = []
    with av.open(str(source)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            frame = picture.reformat(WIDTH, HEIGHT, "yuv420p")
            frame.pts, frame.time_base = number, codec.time_base
            # The encoder decides what is a keyframe, not the clip.
            frame.pict_type = av.video.frame.PictureType.NONE
            units += [(bytes(packet), packet.is_keyframe) for packet in codec.encode(frame)]
            if len(units) >= FRAMES:
                break
    return units


async def camera() -> None:
    """Say ready, then an offer, take an answer; "play" and "pause" are answered by the frames sent so far."""
    units = pictures()
    read = await _lines()
    _say({"bit_rate": sum(len(data) for data, _ in units) * 8 * RATE / len(units)})
    playing = asyncio.Event()
    sent = 0
    async with PeerConnection() as peer:
        line = peer.add_transceiver("video", direction="sendonly", codecs=("H264",))

        async def play() -> None:
            nonlocal sent
            clock, number = 0.0, 0
            while True:
                if not playing.is_set():
                    await playing.wait()
                    # On with a keyframe.
                    number += -number % len(units)
                    clock = time.perf_counter() - number / RATE
                data, keyframe = units[number % len(units)]
                line.send(EncodedFrame(data, number * CLOCK // RATE, keyframe, "H264"))
                number, sent = number + 1, sent + 1
                await asyncio.sleep(max(0.0, clock + number / RATE - time.perf_counter()))

        _say((await peer.create_offer()).sdp)
        await peer.set_answer(SessionDescription("answer", await read()))
        await peer.connected()
        task = asyncio.create_task(play())
        while True:
            (playing.set if await read() == "play" else playing.clear)()
            _say(sent)
            if task.done():
                task.result()


async def relay() -> None:
    """Take the camera's offer, answer; then {"add": n} for offers of viewers, [answers], or "count"."""
    read = await _lines()
    async with contextlib.AsyncExitStack() as stack:
        source = await stack.enter_async_context(PeerConnection(packets=True))
        _say((await source.accept(SessionDescription("offer", await read()))).sdp)
        incoming = source.transceivers[0]
        forwarder = Forwarder(incoming)
        count = 0
        while True:
            order = await read()
            if isinstance(order, dict):
                new = [PeerConnection(packets=True) for _ in range(order["add"])]
                for peer in new:
                    await stack.enter_async_context(peer)
                    peer.add_transceiver("video", direction="sendonly", codecs=("H264",))
                _say([(await peer.create_offer()).sdp for peer in new])
                for peer, answer in zip(new, await read(), strict=True):
                    await peer.set_answer(SessionDescription("answer", answer))
                await asyncio.gather(*(peer.connected() for peer in new))
                for peer in new:
                    await forwarder.add(peer.transceivers[0])
                count += len(new)
                _say(count)
            else:
                _say(await _counted(forwarder))


async def _counted(forwarder: Forwarder) -> dict[str, float]:
    busy, now = time.process_time(), time.perf_counter()
    sums = dict.fromkeys(("packetsSent", "framesSent", "framesDropped", "retransmittedPacketsSent"), 0)
    for entry in (await forwarder.stats()).values():
        if entry["type"] == "outbound-rtp":
            for name in sums:
                sums[name] += entry[name]
    return {**sums, "cpu_s": busy, "at": now, "resident": resident()}


def resident() -> int:
    """Return the bytes of memory that this process occupies."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def viewers() -> None:
    """Take a list of offers, give a list of answers; "count" gives the packets received by all so far."""
    read = await _lines()
    async with contextlib.AsyncExitStack() as stack:
        peers: list[PeerConnection] = []
        while True:
            order = await read()
            if isinstance(order, list):
                # Packets are taken in, checked and decrypted, and then not made into Python's frames.
                new = [PeerConnection(packets=True) for _ in order]
                answers = []
                for peer, offer in zip(new, order, strict=True):
                    await stack.enter_async_context(peer)
                    answers.append((await peer.accept(SessionDescription("offer", offer))).sdp)
                peers += new
                _say(answers)
            else:
                _say({"packets": await _received(peers), "cpu_s": time.process_time()})


async def _received(peers: list[PeerConnection]) -> int:
    total = 0
    for peer in peers:
        report = await peer.stats()
        total += sum(entry["packetsReceived"] for entry in report.values() if entry["type"] == "inbound-rtp")
    return total


def _pin(process: asyncio.subprocess.Process, core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(process.pid, {cores[core]})


async def measure(seconds: float, counts: tuple[int, ...] = COUNTS) -> list[dict[str, float]]:
    """Forward to each number of viewers in turn.

    Args:
        seconds: how long each is measured, after they have settled.
        counts: numbers of viewers, rising.

    Returns:
        For each: `viewers`, `cpu` (share of a core that the relay took), `lost` (share of the packets sent
        that did not arrive, repairs not counted), `frames_dropped`, `viewers_cpu`, `resident` (bytes).
    """
    async with contextlib.AsyncExitStack() as stack:
        ends = [await stack.enter_async_context(started(__name__, role)) for role in ROLES]
        source, middle, far = ends
        for process, core in ((source, 1), (middle, 0), (far, 1)):
            _pin(process, core)
        await said(source)
        await tell(middle, await said(source))
        await tell(source, await said(middle))
        results = []
        reached = 0
        before = await _quiet(source, middle, far)
        for count in counts:
            while reached < count:
                await tell(middle, {"add": min(BATCH, count - reached)})
                await tell(far, await said(middle))
                await tell(middle, await said(far))
                reached = await said(middle)
            for _ in range(ATTEMPTS):
                after, taken = await _interval(source, middle, far, seconds)
                result = {"viewers": count, **taken, **_between(before, after)}
                before = after
                if serves(result):
                    break
            results.append(result)
        return results


async def _ask(process: asyncio.subprocess.Process, what: str) -> Any:
    await tell(process, what)
    return await said(process)


_Counts = tuple[dict[str, float], dict[str, float]]


async def _quiet(
    source: asyncio.subprocess.Process, middle: asyncio.subprocess.Process, far: asyncio.subprocess.Process
) -> _Counts:
    """Count at both ends when nothing is on its way, and the statistics of the last second have come."""
    await _ask(source, "pause")
    await asyncio.sleep(1 + SILENCE)
    return await _ask(middle, "count"), await _ask(far, "count")


async def _interval(
    source: asyncio.subprocess.Process,
    middle: asyncio.subprocess.Process,
    far: asyncio.subprocess.Process,
    seconds: float,
) -> tuple[_Counts, dict[str, float]]:
    await _ask(source, "play")
    await asyncio.sleep(SETTLE)
    begun, far_begun = await _ask(middle, "count"), await _ask(far, "count")
    await asyncio.sleep(seconds)
    ended, far_ended = await _ask(middle, "count"), await _ask(far, "count")
    span = ended["at"] - begun["at"]
    taken = {
        "cpu": (ended["cpu_s"] - begun["cpu_s"]) / span,
        "viewers_cpu": (far_ended["cpu_s"] - far_begun["cpu_s"]) / span,
        "resident": ended["resident"],
    }
    return await _quiet(source, middle, far), taken


def _between(before: _Counts, after: _Counts) -> dict[str, float]:
    def grown(name: str) -> float:
        return after[0][name] - before[0][name]

    sent = grown("packetsSent")
    arrived = after[1]["packets"] - before[1]["packets"] - grown("retransmittedPacketsSent")
    return {"lost": 1 - arrived / sent if sent else 1.0, "frames_dropped": grown("framesDropped")}


def serves(result: dict[str, float]) -> bool:
    """Whether all of these viewers got all of it, but for less than 0.1 %."""
    return result["lost"] < MOST_LOST and not result["frames_dropped"]


def capacity(results: list[dict[str, float]]) -> tuple[float, float]:
    """Return the viewers that a core serves, and the slope (share of a core a viewer).

    A straight line through the counts that were served, up to 90 % of a core. Raises RuntimeError where
    fewer than two were.
    """
    good = [result for result in results if serves(result)]
    if len(good) < 2:
        worst = max(results, key=lambda result: result["lost"])
        raise RuntimeError(f"{worst['lost']:.2%} of the packets to {worst['viewers']:.0f} viewers were lost")
    line = np.polynomial.Polynomial.fit(
        [result["viewers"] for result in good], [result["cpu"] for result in good], 1
    )
    base, slope = line.convert().coef
    return (FILL - base) / slope, slope


ROLES = {"camera": camera, "relay": relay, "viewers": viewers}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]]())
