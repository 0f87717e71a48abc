"""Reports outlive the process that made them: SIGKILL, a hub that is away, a clock at 1970."""

import asyncio
import os
import signal
import sqlite3
import sys
from datetime import UTC, datetime, timedelta

import pytest

from plait.testing import HubProcess, connected, running_hub
from plait.thing import Thing, event, prop, serve
from plait.thing.clock import Clock
from plait.thing.errors import SpoolFull
from plait.thing.kept.file import StateFile
from plait.thing.kept.folder import folder_of
from plait.thing.kept.spool import ROW, Spool
from plait.thing.state import state_of
from plait.wire.messages import OBSERVE_PROPERTY, SUBSCRIBE_EVENT, now

METER = """
import asyncio, sys, itertools
from plait.thing import Thing, event, prop

class Meter(Thing):
    level: int = prop(readonly=True)
    alarm = event(int)

    async def main(self):
        for number in itertools.count(int(sys.argv[1])):
            self.level = number
            if number % 5 == 0:
                self.alarm.emit(number)
            await self.saved()
            print(number, flush=True)

Meter("urn:dev:meter").run(folder=sys.argv[2])
"""


class Meter(Thing):
    level: int = prop(readonly=True)
    alarm = event(int)


async def run_until(script, folder, first, enough, environment):
    """Run the meter, kill it once it has printed `enough` numbers; return those that it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), str(first), str(folder)),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    saved = [int(await process.stdout.readline()) for _ in range(enough)]
    process.send_signal(signal.SIGKILL)
    rest, _ = await process.communicate()
    return saved + [int(number) for number in rest.split()]


async def kills(tmp_path, rounds):
    """Kill a meter `rounds` times while its hub is away, twice while it is there; return what came of it."""
    script = tmp_path / "meter.py"
    script.write_text(METER)
    hub = HubProcess(tmp_path / "hub")
    environment = {"PLAIT_HUB": hub.url, "PLAIT_TOKEN": hub.token("urn:dev:meter")}
    start, saved = now(), []
    heard = []
    for number in range(rounds):
        saved += await run_until(script, tmp_path, 1000 * number, 20 + 7 * number % 30, environment)
    async with hub, connected(hub) as home:
        for number in (rounds, rounds + 1):
            saved += await run_until(script, tmp_path, 1000 * number, 40, environment)
        meter = Meter("urn:dev:meter")
        serving = asyncio.create_task(
            serve(meter, hub=hub.url, token=environment["PLAIT_TOKEN"], folder=tmp_path)
        )
        proxy = await home.wait_for("Meter", timeout=20)
        changes = proxy.watch("alarm", "level")
        meter.alarm.emit(-1)
        async with asyncio.timeout(30):
            async for change in changes:
                heard.append(change)
                if change.kind == "event" and change.value == -1:
                    break
        await changes.aclose()
        history = await proxy.history("level", start, limit=20_000)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    with sqlite3.connect(tmp_path / "hub" / "plait.db") as db:
        events = [int(row[0]) for row in db.execute("SELECT data FROM events ORDER BY time")]
    return saved, history, events, heard


def check(saved, history, events, heard):
    values = [value for _, value in history]
    assert values == sorted(set(values)), "out of order, or twice"
    assert set(values) >= set(saved), "one that was saved is lost"
    assert events[-1] == -1
    assert events[:-1] == sorted(set(events[:-1]))
    assert set(events) >= {number for number in saved if number % 5 == 0}
    told = [change.value for change in heard if change.kind == "event"]
    assert len(told) == len(set(told)), "an event was told twice"
    times = [when for when, _ in history]
    assert times == sorted(times)


async def test_kills_lose_nothing_and_double_nothing(tmp_path):
    check(*await kills(tmp_path, 3))


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_many_kills_lose_nothing_and_double_nothing(tmp_path):
    check(*await kills(tmp_path, 50))


async def test_readings_taken_while_the_hub_is_away_keep_their_time(tmp_path):
    later = HubProcess(tmp_path / "hub")
    meter = Meter("urn:dev:meter")
    start = now()
    options = {"hub": later.url, "token": later.token(meter.id), "folder": tmp_path}
    serving = asyncio.create_task(serve(meter, **options))
    times = []
    for number in range(3000):
        meter.level = number
        if number % 1000 == 0:
            await asyncio.sleep(0)
        times.append(now())
    await meter.saved()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)

    again = Meter("urn:dev:meter")
    async with running_hub(tmp_path / "hub", port=later.port) as hub, connected(hub) as home:
        serving = asyncio.create_task(serve(again, **options))
        proxy = await home.wait_for("Meter", timeout=20)
        changes = proxy.watch("alarm")
        again.alarm.emit(1)
        async with asyncio.timeout(20):
            await anext(aiter(changes))
        history = await proxy.history("level", start, limit=10_000)
        assert [value for _, value in history] == list(range(3000))
        assert all(
            abs(when - taken) < timedelta(seconds=1) for (when, _), taken in zip(history, times, strict=True)
        )
        await changes.aclose()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    with sqlite3.connect(folder_of(meter.id, tmp_path) / "state.db") as db:
        assert db.execute("SELECT count(*) FROM reports").fetchone() == (0,)


class Wire:
    """Stands where the session does: takes what is sent, and keeps it apart."""

    def __init__(self):
        self.sent = asyncio.Queue()

    def __call__(self, operation, members):
        kept = object()
        self.sent.put_nowait((kept, operation, members))
        return kept

    async def next(self):
        async with asyncio.timeout(10):
            return await self.sent.get()


def make(file, clock=None, *, limit=10_000, connected=False):
    wire = Wire()
    return Spool(file, clock=clock or Clock(), send=wire, room=lambda: connected, limit=limit), wire


async def test_the_oldest_readings_go_first_and_events_never(tmp_path, caplog):
    file = StateFile(tmp_path / "state.db")
    spool, _ = make(file)
    for number in range(500):
        if number % 20 == 0:
            members = {"name": "alarm", "data": number}
            spool.admit(members)
            spool.put(SUBSCRIBE_EVENT, **members, timestamp=now())
        spool.put(OBSERVE_PROPERTY, name="level", value=number, timestamp=now())
    await spool.saved()
    assert spool.dropped > 300
    assert caplog.text.count("the oldest readings are dropped") == 1
    await spool.close()
    rows = await file.do(lambda db: db.execute("SELECT event, length(body) FROM reports").fetchall())
    assert sum(length + ROW for _, length in rows) <= 10_000
    assert sum(event for event, _ in rows) == 25
    newest = await file.do(
        lambda db: db.execute("SELECT body FROM reports ORDER BY number DESC LIMIT 1").fetchone()
    )
    assert b"499" in newest[0]
    await file.close()


async def test_an_event_beyond_the_bound_is_an_error_where_it_was_emitted(tmp_path):
    file = StateFile(tmp_path / "state.db")
    meter = Meter("urn:dev:meter")
    state = state_of(meter)
    spool, _ = make(file, state.clock, limit=2_000)
    state.attach(asyncio.get_running_loop(), spool.put)
    state.admit = spool.admit
    taken = 0
    with pytest.raises(SpoolFull, match="2000 bytes of events wait"):  # noqa: PT012 - which one it is, is the point
        while taken < 100:
            meter.alarm.emit(taken)
            taken += 1
    assert taken == len(spool) > 10
    await spool.close()
    again, _ = make(file, limit=2_000)
    assert len(again) == taken
    with pytest.raises(SpoolFull):
        again.admit({"name": "alarm", "data": "x" * 100})
    await again.close()
    await file.close()


async def test_what_is_acknowledged_at_once_never_touches_the_disk(tmp_path):
    file = StateFile(tmp_path / "state.db")
    clock = Clock()
    clock.learn(now())
    spool, wire = make(file, clock, connected=True)
    spool.put(OBSERVE_PROPERTY, name="level", value=1, timestamp=now())
    kept, _, _ = await wire.next()
    spool.acknowledged(kept)
    await spool.close()
    assert await file.do(lambda db: db.execute("SELECT count(*) FROM reports").fetchone()) == (0,)
    assert await file.do(lambda db: db.total_changes) < 5
    await file.close()


async def test_an_earlier_run_at_1970_is_taken_to_have_ended_when_this_one_began(tmp_path):
    file = StateFile(tmp_path / "state.db")
    earlier, _ = make(file)
    for seconds in (300, 360):
        when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
        earlier.put(OBSERVE_PROPERTY, name="level", value=seconds, timestamp=when)
    await earlier.close()
    await file.close()
    file = StateFile(tmp_path / "state.db")
    clock = Clock()
    began = clock.now()
    spool, wire = make(file, clock, connected=True)
    clock.learn(now())
    spool.moved()
    first, second = [(await wire.next())[2]["timestamp"] for _ in range(2)]
    assert second - first == timedelta(seconds=60)
    assert abs(second - began) < timedelta(seconds=1)
    await spool.close()
    await file.close()
