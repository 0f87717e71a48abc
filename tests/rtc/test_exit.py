"""An interpreter or a loop that ends with peers open neither hangs nor crashes, in whatever way it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest

from plait.rtc import PeerConnection

PRELUDE = """
import asyncio, atexit, gc, os, signal, sys, threading
from plait.rtc import PeerConnection

async def connecting():
    a, b = PeerConnection(), PeerConnection()
    a.create_data_channel("x")
    await a.set_answer(await b.accept(await a.create_offer()))
    return a, b

async def pair():
    a, b = PeerConnection(), PeerConnection()
    channel = a.create_data_channel("x")
    there = asyncio.get_running_loop().create_future()
    b.on_data_channel = there.set_result
    await a.set_answer(await b.accept(await a.create_offer()))
    await channel.opened()
    return a, b, channel, await there

async def busy():
    a, b, mine, theirs = await pair()
    theirs.on_message = lambda message: None
    async def send():
        while True:
            await mine.send(bytes(16384))
    task = asyncio.create_task(send())
    await asyncio.sleep(0.05)
    return a, b, mine, theirs, task
"""

ENDS = {
    "connecting": "kept = asyncio.run(connecting())",
    "connecting, exit in the loop": """
        async def main():
            kept = await connecting()
            sys.exit(3)
        asyncio.run(main())
    """,
    "traffic": """
        loop = asyncio.new_event_loop()
        kept = loop.run_until_complete(busy())
    """,
    "traffic, exit in the loop": """
        async def main():
            kept = await busy()
            sys.exit(3)
        asyncio.run(main())
    """,
    "traffic, exit in a callback": """
        async def main():
            a, b, mine, theirs = await pair()
            def end(message):
                sys.exit(3)
            theirs.on_message = end
            await mine.send("now")
            await asyncio.sleep(20)
        asyncio.run(main())
    """,
    "loop closed with work pending": """
        loop = asyncio.new_event_loop()
        kept = loop.run_until_complete(busy())
        kept[-1].cancel()
        waiting = [loop.create_task(kept[2].receive()), loop.create_task(kept[0].closed())]
        loop.run_until_complete(asyncio.sleep(0))
        for task in waiting:
            task.cancel()
        loop.run_until_complete(asyncio.gather(kept[-1], *waiting, return_exceptions=True))
        kept[2].send_nowait(bytes(65536))
        loop.close()
        kept[2].send_nowait(bytes(65536))
        del kept, waiting, loop
        gc.collect()
    """,
    "an exception in a callback": """
        import logging
        logging.getLogger("plait.rtc").setLevel(logging.CRITICAL)
        async def main():
            a, b, mine, theirs = await pair()
            heard = asyncio.Event()
            def broken(message):
                heard.set()
                raise RuntimeError("the application's own")
            theirs.on_message = broken
            b.on_connection_state_change = broken
            await mine.send("x")
            await heard.wait()
            globals()["kept"] = (a, b, mine, theirs)
        asyncio.run(main())
    """,
    "an exception ends the program": """
        sys.excepthook = lambda *_: None
        async def main():
            globals()["kept"] = await busy()
            raise RuntimeError("the application's own")
        asyncio.run(main())
    """,
    "loops in daemon threads": """
        ready = threading.Barrier(4)
        def work():
            async def main():
                kept = await busy()
                ready.wait()
                await asyncio.sleep(60)
            asyncio.run(main())
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        ready.wait()
    """,
    "dropped without close": """
        async def main():
            for _ in range(10):
                PeerConnection()
                await connecting()
                gc.collect()
            await pair()
            gc.collect()
        asyncio.run(main())
    """,
    "a forked child exits": """
        loop = asyncio.new_event_loop()
        kept = loop.run_until_complete(busy())
        child = os.fork()
        if child == 0:
            sys.exit(3)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        kept[2].send_nowait("the parent's call goes on")
    """,
    "interrupted": """
        async def main():
            globals()["kept"] = await busy()
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGINT)
            await asyncio.sleep(20)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(3)
    """,
    "work at exit": """
        kept = None
        @atexit.register
        def last():
            asyncio.run(pair())
        asyncio.run(pair())
    """,
}
CODES = {"an exception ends the program": 1}


def ended(name: str) -> None:
    """Run one program to its end, and see that it ended as it wished to."""
    program = PRELUDE + textwrap.dedent(ENDS[name])
    expected = CODES.get(name, 3 if "sys.exit(3)" in program and "fork" not in name else 0)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-W", "error::RuntimeWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == expected, (name, done.returncode, done.stderr)
    for word in ("Fatal", "panicked", "Segmentation", "Current thread"):
        assert word not in done.stderr, (name, done.stderr)


@pytest.mark.parametrize("name", ENDS)
def test_it_ends(name):
    with ThreadPoolExecutor(2) as two:
        list(two.map(ended, [name] * 2))


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ENDS)
def test_it_ends_a_hundred_times_of_a_hundred(name):
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as some:
        list(some.map(ended, [name] * 100))


def loops(times: int) -> None:
    """Close a loop whose peers are open, in one process, so many times."""

    async def main() -> tuple[PeerConnection, PeerConnection]:
        a, b = PeerConnection(), PeerConnection()
        channel = a.create_data_channel("x")
        await a.set_answer(await b.accept(await a.create_offer()))
        await channel.opened()
        channel.send_nowait(bytes(65536))
        return a, b

    for _ in range(times):
        asyncio.run(main())


def test_a_loop_that_is_closed_with_its_peers_open():
    loops(20)


@pytest.mark.long
def test_a_hundred_loops_that_are_closed_with_their_peers_open():
    loops(100)
