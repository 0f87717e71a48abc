"""Links of the TypeScript SDK to a thing in Python: in Node through a real hub, in Chromium directly, too."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright
from tests.browser.sdk import WEB, needs_node, vitest

from plait.cli import chromium
from plait.gallery.shelf import Shelf
from plait.link.direct import Direct
from plait.testing import Cable, HubProcess, running_hub, served
from plait.thing import Thing, action, event, prop
from plait.wire.errors import LinkLost

if TYPE_CHECKING:
    from plait.link import Channel, Link

pytestmark = [
    pytest.mark.timeout(120),
    needs_node,
]


class Robot(Thing):
    """What the SDK's tests talk to."""

    speed: int = prop(0)
    bumped = event(int)

    @action(idempotent=True)
    async def bump(self, number: int) -> int:
        self.bumped.emit(number)
        return number

    @action
    async def jump(self) -> int:
        self.jumps += 1
        return self.jumps

    def __init__(self) -> None:
        super().__init__("urn:dev:robot")
        self.speeds: list[int] = []
        self.jumps = 0
        self.links: list[Link] = []
        self.to_kill = asyncio.Event()
        self.talks: list[Talk] = []

    async def set_speed(self, value: int) -> int:
        self.speeds.append(value)
        return min(value, 9)

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        await link.channel("greeting").send("hello")
        echo, go, shown = link.channel("echo"), link.channel("go"), link.values("state")
        shown.on_value = lambda key, value: shown.set(f"seen {key}", value)
        stick = link.channel("stick", "datagram", priority=200)
        stick.on_message = stick.send_nowait
        link.channel("kill").on_message = lambda _: self.to_kill.set()
        failing = asyncio.create_task(link.channel("fail").receive())
        work = [asyncio.create_task(each) for each in (_echo(echo), _slow(link.channel("slow"), go))]
        work.append(asyncio.create_task(self._talk(link)))
        try:
            raise RuntimeError(await failing)
        except LinkLost:
            return
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _talk(self, link: Link) -> None:
        talk = Talk(link.channel("flow"))
        self.talks.append(talk)
        outcome = await talk.run()
        await link.channel("report").send(json.dumps(outcome))


async def _echo(channel: Channel) -> None:
    async for message in channel:
        await channel.send(message)


async def _slow(channel: Channel, go: Channel) -> None:
    await go.receive()
    size = 0
    async for message in channel:
        size += len(message)
        if size == 9 << 20:
            await channel.send(str(size))


class Talk:
    """The far end of web/sdk/tests/conversation.ts: numbers both ways, until it ends them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.sent = self.received = 0
        self._wrong: str | None = None

    async def run(self) -> dict:
        first = await self._channel.receive()
        sending = asyncio.create_task(self._send())
        try:
            self._came(first)
            async for message in self._channel:
                self._came(message)
        finally:
            sending.cancel()
        self._channel.finish()
        return {"sent": self.sent, "received": self.received, "wrong": self._wrong}

    def _came(self, message: bytes | str) -> None:
        if message != str(self.received) and self._wrong is None:
            self._wrong = f"{message!r} after {self.received} numbers"
        self.received += 1

    async def _send(self) -> None:
        while True:
            await self._channel.send(str(self.sent))
            self.sent += 1
            await asyncio.sleep(0.002)


async def test_in_node_through_the_hub(tmp_path):
    robot = Robot()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(HubProcess(tmp_path))
        await stack.enter_async_context(served(robot, hub=hub))
        async with vitest("real-link", hub) as telling:
            killing = asyncio.create_task(robot.to_kill.wait())
            await asyncio.wait({telling, killing}, timeout=90, return_when=asyncio.FIRST_COMPLETED)
            killing.cancel()
            if robot.to_kill.is_set():
                await hub.kill()
                await hub.start()
            assert "5 passed" in await asyncio.wait_for(telling, 60)


async def test_files_in_node(tmp_path):
    shelf = Shelf("urn:dev:shelf", folder=tmp_path / "shelf")
    async with (
        running_hub(tmp_path / "hub") as hub,
        served(shelf, hub=hub),
        vitest("real-files", hub) as telling,
    ):
        assert "4 passed" in await asyncio.wait_for(telling, 60)


@pytest.fixture
def directs(monkeypatch):
    """The thing's ends of direct paths, which a test may kill."""
    made: list[Direct] = []
    begin = Direct.__init__

    def noted(self, *args, **options):
        begin(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(Direct, "__init__", noted)
    return made


@pytest.fixture
async def bundle(tmp_path):
    """The SDK and the conversation, as one script."""
    into = tmp_path / "sdk.js"
    built = await asyncio.create_subprocess_exec(
        "node", "node_modules/rolldown/bin/cli.mjs", "sdk/tests/in-browser.ts", "--no-codeSplitting",
        "--format", "esm", "--logLevel", "silent", "-o", str(into), cwd=WEB,
    )  # fmt: skip
    assert await asyncio.wait_for(built.wait(), 30) == 0
    return into.read_text()


@pytest.fixture
async def browser():
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=chromium.FLAGS)
        yield browser
        await browser.close()


async def test_in_a_browser_over_both_paths_while_they_are_killed(tmp_path, browser, bundle, directs):
    robot = Robot()
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running_hub(tmp_path / "hub"))
        relay = await stack.enter_async_context(Cable(hub.port))
        await stack.enter_async_context(served(robot, hub=hub))
        page = await browser.new_page()
        await page.route(
            "**/test/sdk.js", lambda route: route.fulfill(body=bundle, content_type="text/javascript")
        )
        await page.goto(hub.login_link().replace(hub.url, relay.url))
        await page.wait_for_selector("[data-testid=house], [data-testid=empty]")
        await page.evaluate("async () => { window.plait = (await import('/test/sdk.js')).test }")
        await page.evaluate("plait.open('urn:dev:robot')")

        async def state() -> dict:
            return await page.evaluate("plait.state()")

        async def until(holds) -> dict:
            async with asyncio.timeout(30):
                while not holds(now := await state()):  # noqa: ASYNC110 - a page in another process
                    await asyncio.sleep(0.05)
                return now

        async def flows() -> None:
            before = (await state())["received"]
            await until(lambda now: now["received"] > before + 50)

        moved = await until(lambda now: now["path"] == "direct")
        assert "direct" in moved["reason"]
        await flows()
        assert await page.evaluate("plait.invoke('bump', {number: 0})") == 0
        # The WebSocket dies while the link is direct: the thing is asked, and heard, all the same.
        relay.refuses = True
        relay.cut()
        await until(lambda now: now["status"] != "online")
        assert await page.evaluate("plait.write('speed', 12)") == 9
        assert robot.speeds == [12]
        assert await page.evaluate("plait.invoke('bump', {number: 1})") == 1
        await page.wait_for_function("plait.events().includes(1)")
        # What must be done once is not: the hub's journal says that it was.
        refused = "plait.invoke('jump', undefined, 200).catch(error => error.code)"
        assert await page.evaluate(refused) == "timeout"
        assert robot.jumps == 0
        await flows()
        relay.refuses = False
        await until(lambda now: now["status"] == "online")
        assert await page.evaluate("plait.invoke('jump')") == 1
        # The device's ends of the direct paths go, the page's own among them: by the hub, and directly again.
        for direct in directs:
            await direct._peer.close()  # no program is to do this
        await until(lambda now: now["path"] == "hub")
        await flows()
        # And the WebSocket, while it is all there is.
        relay.cut()
        await flows()
        await until(lambda now: now["path"] == "direct")
        await flows()
        # The network swallows what goes directly; nobody is told.
        await page.evaluate("plait.swallow(true)")
        await until(lambda now: now["path"] == "hub")
        await flows()
        await page.evaluate("plait.swallow(false)")
        await until(lambda now: now["path"] == "direct")
        assert await page.evaluate("plait.invoke('bump', {number: 2})") == 2
        await page.wait_for_function("plait.events().includes(2)")
        outcome = await asyncio.wait_for(page.evaluate("plait.finish()"), 30)
        assert await page.evaluate("plait.events()") == [0, 1, 2]
        paths = await page.evaluate("plait.paths()")
        report = await asyncio.wait_for(page.evaluate("plait.report()"), 30)
        await page.evaluate("plait.close()")
    assert paths[:6] == ["hub", "direct", "hub", "direct", "hub", "direct"]
    assert outcome["wrong"] is None
    assert report == {"sent": outcome["received"], "received": outcome["sent"], "wrong": None}
