"""A thing that sleeps: told as asleep, its commands wait, a stale one is not run."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from plait.app import connect
from plait.testing import HubProcess, connected, running_hub
from plait.thing import Thing, action, event, prop, serve
from plait.thing.answers import Answers
from plait.wire.errors import Expired, Offline, Timeout
from plait.wire.messages import INVOKE_ACTION, Message, now

EVERY = 0.8


class Sensor(Thing):
    level: int = prop(readonly=True)
    limit: int = prop(0)
    woke = event(int)

    def __init__(self):
        super().__init__("urn:dev:sensor")
        self.wakes = 0
        self.unlocked = 0
        self.may_wake = asyncio.Event()
        self.may_wake.set()

    async def main(self):
        await self.may_wake.wait()
        self.wakes += 1
        self.level = self.wakes
        self.woke.emit(self.wakes)

    @action
    async def unlock(self) -> int:
        self.unlocked += 1
        return self.unlocked


@asynccontextmanager
async def sleeping(sensor, hub, folder, every=EVERY):
    token = hub.token(sensor.id)
    serving = asyncio.create_task(
        serve(sensor, hub=hub.url, token=token, folder=folder, mode="wake", every=every)
    )
    try:
        yield serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def asleep(home, proxy):
    async with asyncio.timeout(10):
        async for change in proxy.watch():
            if change.kind == "presence" and change.value == "asleep":
                return proxy.presence
    raise AssertionError


@pytest.mark.parametrize("spooled", [True, False])
async def test_it_tells_at_each_wake_and_is_asleep_between(tmp_path, spooled):
    sensor = Sensor()
    begin = now()
    async with (
        running_hub(tmp_path / "hub") as hub,
        connected(hub) as home,
        sleeping(sensor, hub, tmp_path if spooled else None),
    ):
        proxy = await home.wait_for("Sensor", timeout=10)
        states, woke = [], []
        async with asyncio.timeout(20):
            async for change in proxy.watch():
                if change.kind == "presence":
                    states.append(change.value)
                elif change.kind == "event":
                    woke.append(change.value)
                if woke[-1:] == [4]:
                    break
        assert "asleep" in states
        assert "offline" not in states
        assert woke == list(range(woke[0], 5))
        presence = await asleep(home, proxy)
        assert timedelta() < presence.until - presence.since < timedelta(seconds=EVERY + 0.1)
        history = await proxy.history("level", begin)
        assert [value for _, value in history][:4] == [1, 2, 3, 4]
        assert len(list(hub.clients)) == 2  # one session for all its wakes, and the app's


async def test_a_command_waits_for_the_wake(tmp_path):
    sensor = Sensor()
    async with running_hub(tmp_path / "hub") as hub, connected(hub) as home, sleeping(sensor, hub, tmp_path):
        proxy = await home.wait_for("Sensor", timeout=10)
        await asleep(home, proxy)
        woken = sensor.wakes
        assert await proxy.invoke("unlock", timeout=20) == 1
        assert sensor.wakes > woken


async def test_a_write_waits_for_the_wake(tmp_path):
    sensor = Sensor()
    async with running_hub(tmp_path / "hub") as hub, connected(hub) as home, sleeping(sensor, hub, tmp_path):
        proxy = await home.wait_for("Sensor", timeout=10)
        await asleep(home, proxy)
        assert await proxy.write("limit", 7, timeout=20) == 7
        assert sensor.limit == 7


async def test_a_write_that_cannot_wait_that_long_is_refused_at_once(tmp_path):
    sensor = Sensor()
    async with (
        running_hub(tmp_path / "hub") as hub,
        connected(hub) as home,
        sleeping(sensor, hub, tmp_path, every=30),
    ):
        proxy = await home.wait_for("Sensor", timeout=10)
        await asleep(home, proxy)
        with pytest.raises(Offline, match=r"sleeps until .*, beyond the deadline"):
            await proxy.write("limit", 7, timeout=5)
        assert sensor.limit == 0


async def test_a_command_waits_for_the_wake_while_the_hub_is_killed_and_started(tmp_path):
    sensor = Sensor()
    async with HubProcess(tmp_path / "hub") as hub, sleeping(sensor, hub, tmp_path, every=4):
        headers = {"authorization": f"Bearer {hub.user_token()}", "idempotency-key": "once"}
        unlock = f"/things/{sensor.id}/actions/unlock"
        async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=20) as http:
            async with connected(hub) as home:
                await asleep(home, await home.wait_for("Sensor", timeout=10))
            sensor.may_wake.clear()
            asking = asyncio.create_task(http.post(unlock))
            await asyncio.sleep(0.5)
            await hub.kill()
            with pytest.raises(httpx.TransportError):
                await asking
            await hub.start()
            assert sensor.unlocked == 0
            sensor.may_wake.set()
            answer = await http.post(unlock)
            assert (answer.status_code, answer.json(), sensor.unlocked) == (200, 1, 1)


async def test_a_command_that_cannot_wait_that_long_is_refused_at_once(tmp_path):
    sensor = Sensor()
    async with (
        running_hub(tmp_path / "hub") as hub,
        connected(hub) as home,
        sleeping(sensor, hub, tmp_path, every=30),
    ):
        proxy = await home.wait_for("Sensor", timeout=10)
        await asleep(home, proxy)
        with pytest.raises(Offline, match=r"sleeps until .*, beyond the deadline"):
            await proxy.invoke("unlock", timeout=5)
        assert sensor.unlocked == 0


async def test_a_command_whose_app_gave_up_meanwhile_is_not_run(tmp_path):
    sensor = Sensor()
    async with running_hub(tmp_path / "hub") as hub, connected(hub) as home, sleeping(sensor, hub, tmp_path):
        proxy = await home.wait_for("Sensor", timeout=10)
        presence = await asleep(home, proxy)
        # It waits, with a deadline just after the wake; the thing is then kept from coming.
        left = (presence.until - now()).total_seconds()
        sensor.may_wake.clear()
        with pytest.raises((Timeout, Expired)):
            await proxy.invoke("unlock", timeout=left + 0.3)
        woken = sensor.wakes
        sensor.may_wake.set()
        while sensor.wakes < woken + 2:
            await asleep(home, proxy)
            await asyncio.sleep(EVERY)
        assert sensor.unlocked == 0


async def test_one_that_is_stale_when_the_device_wakes_is_refused(tmp_path):
    sensor = Sensor()
    stale = Message(
        message_type="request",
        operation=INVOKE_ACTION,
        name="unlock",
        message_id="old",
        deadline=now() - timedelta(seconds=1),
    )
    said = await Answers(sensor).answer(stale)
    assert said["error"].type == "urn:plait:problem:expired"
    assert sensor.unlocked == 0


async def test_one_that_does_not_come_back_is_offline(tmp_path):
    sensor = Sensor()
    async with running_hub(tmp_path / "hub", window=0.5) as hub, connected(hub) as home:
        async with sleeping(sensor, hub, tmp_path):
            proxy = await home.wait_for("Sensor", timeout=10)
            await asleep(home, proxy)
            sensor.may_wake.clear()
            async with asyncio.timeout(10):
                async for change in proxy.watch():
                    if change.kind == "presence" and change.value == "offline":
                        break
        assert proxy.presence.until is None


async def test_a_wake_without_a_hub_costs_nothing_but_itself(tmp_path):
    sensor = Sensor()
    async with running_hub(tmp_path / "hub") as hub:
        port, token, user = hub.port, hub.token(sensor.id), hub.user_token()
    url = f"http://127.0.0.1:{port}"
    begin = now()
    serving = asyncio.create_task(
        serve(sensor, hub=url, token=token, folder=tmp_path, mode="wake", every=EVERY)
    )
    await asyncio.sleep(1.0)  # its first wake has found no hub
    async with running_hub(tmp_path / "hub", port=port), connect(url, token=user) as home:
        proxy = await home.wait_for("Sensor", timeout=20)
        await asleep(home, proxy)
        assert next(value for _, value in await proxy.history("level", begin)) == 1
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
