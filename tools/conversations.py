"""Conversations of a release, recorded and played back: old and new must understand each other.

    python tools/conversations.py 0.2       writes vectors/releases/0.2/thing.json and app.json

Recorded is what passes between today's hub and today's thing or app, each in its part of one scenario.
`tests/interop/test_releases.py` plays every recorded release back: the client's side to today's hub, and the
hub's side to today's thing and app. Each must answer as was answered then. `vectors/README.md` has the form.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from msgspec import Meta

from plait import app
from plait.hub.contracts import Principal
from plait.hub.door import Door, DoorSettings
from plait.testing import connected, running_hub, served
from plait.thing import Thing, action, event, prop, serve
from plait.transport import websocket
from plait.wire import messages
from plait.wire.errors import PlaitError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from plait.transport.base import Transport

RELEASES = Path(__file__).parent.parent / "vectors" / "releases"
PROBE = "urn:dev:probe"
WITHIN = 10.0
"""Seconds that any one message may take."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_BESIDE = ("ack", "ping")
"""Operations that come when they come: not recorded, and not played."""


class Probe(Thing):
    """One of everything. It does nothing by itself: what it does follows from what it is told."""

    on: bool = prop(False)
    level: Annotated[int, Meta(ge=0, le=100)] = prop(50, unit="percent")
    temperature: float = prop(readonly=True)
    overheated = event(float)

    @action
    async def measure(self, value: float) -> float:
        """Report a temperature, and warn of it."""
        self.temperature = value
        self.overheated.emit(value)
        return value

    @action
    async def explode(self) -> None:
        """Fail."""
        raise RuntimeError("bang")


async def drive(home: app.Home, cut: Callable[[], Awaitable[None]]) -> None:
    """Do what an app does with a probe: all that works, and what must be refused.

    Args:
        home: the app.
        cut: breaks the connection that is recorded, and returns once it is resumed.
    """
    probe = await home.wait_for(PROBE, timeout=WITHIN)
    await probe.online(timeout=WITHIN)
    began = asyncio.Event()

    async def watch() -> None:
        async for _ in probe.watch():
            began.set()

    watching = asyncio.create_task(watch())
    await asyncio.wait_for(began.wait(), WITHIN)
    await probe.read("level")
    await probe.write("level", 70)
    await probe.invoke("measure", value=21.5)
    for refused in (
        probe.write("level", 101),
        probe.write("temperature", 1.0),
        probe.read("nothing"),
        probe.invoke("explode"),
    ):
        with suppress(PlaitError):
            await refused
    await cut()
    await probe.readings()
    await probe.write("on", True)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


class _Doorway:
    """A hub's front door that hands over each WebSocket, and no hub behind it."""

    def __init__(self) -> None:
        self._resumed = asyncio.Event()
        self._door = Door(
            _nothing,
            authorize=lambda _: Principal("thing", PROBE),
            opened=lambda transport, _: self._opened(transport),
            settings=DoorSettings(),
        )

    async def __aenter__(self) -> Self:
        await self._door.start()
        self.url = f"http://127.0.0.1:{self._door.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._door.stop()

    def _opened(self, transport: Transport) -> None:
        raise NotImplementedError


async def _nothing(_scope: Any, _receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


class Recorder(_Doorway):
    """Stands between a client and its hub, and writes down what they say.

    Args:
        hub: the hub's address.
        token: the client's.
    """

    def __init__(self, hub: str, token: str) -> None:
        super().__init__()
        self._hub = hub
        self._token = token
        self._ends: list[websocket.WebSocketTransport | Transport] = []
        self._relaying: set[asyncio.Task[None]] = set()
        self.steps: list[dict[str, Any]] = []

    async def cut(self) -> None:
        """Break the connection; return once it is resumed."""
        await asyncio.sleep(0.5)  # what is on its way, acknowledgements too, has come
        self._resumed.clear()
        self.steps.append({"cut": True})
        for end in self._ends:
            end.abort()  # type: ignore[union-attr] # a WebSocket at either end
        await asyncio.wait_for(self._resumed.wait(), WITHIN)

    def _opened(self, transport: Transport) -> None:
        early: list[bytes] = []
        transport.on_message = early.append
        task = asyncio.ensure_future(self._relay(transport, early))
        self._relaying.add(task)
        task.add_done_callback(self._relaying.discard)

    async def _relay(self, near: Transport, early: list[bytes]) -> None:
        def tell_near(data: bytes) -> None:
            self._note("hub", data)
            near.send(data)

        def tell_far(data: bytes) -> None:
            self._note("client", data)
            far.send(data)

        def opened(transport: websocket.WebSocketTransport) -> None:
            transport.on_message = tell_near
            transport.on_close = near.close

        far = await websocket.connect(websocket.endpoint(self._hub), token=self._token, on_open=opened)
        self._ends = [near, far]
        near.on_close = lambda code, reason: far.close(code if code != 1006 else 1001, reason)
        near.on_message = tell_far
        for data in early:
            tell_far(data)

    def _note(self, who: str, data: bytes) -> None:
        message = json.loads(data)
        if message["operation"] == "hello" and message.get("output", {}).get("resumed"):
            self._resumed.set()
        if message["operation"] not in _BESIDE:
            message.pop("ack", None)
            self.steps.append({"from": who, "message": message})


def blanked(steps: list[dict[str, Any]], *addresses: str) -> list[dict[str, Any]]:
    """Return a conversation without what is different each time: times, ids, addresses, the software."""
    ids: dict[str, str] = {}

    def blank(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: blank(key, member) for key, member in value.items()}
        if isinstance(value, list):
            return [blank("", member) for member in value]
        if name in ("messageID", "correlationID"):
            return ids.setdefault(value, f"$id:{len(ids) + 1}")
        if name in ("session", "software", "ack"):
            return f"${name}"
        if isinstance(value, str):
            if _TIME.fullmatch(value):
                return "$later" if name == "deadline" else "$now"
            for address in addresses:
                value = value.replace(address, "$hub")
        return value

    return [blank("", step) for step in steps]


class Player:
    """Plays one side of a recorded conversation over a transport, and checks what the other side says.

    Messages of the other side may come in any order among those that were recorded before our next one. A
    recorded member must be there and be the same; members beside it may be new.

    Args:
        steps: the conversation.
        side: whose messages are said here, "client" or "hub".
    """

    def __init__(self, steps: list[dict[str, Any]], side: str) -> None:
        self.steps = steps
        self.side = side
        self._bound: dict[str, Any] = {}
        self._arrived: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._seen = 0  # the other side's highest seq
        self.transport: Transport | None = None

    def attach(self, transport: Transport) -> None:
        """Go on over this connection."""
        self.transport = transport
        transport.on_message = self._take
        transport.on_close = lambda *_: None
        self._news.set()

    async def play(self, cut: Callable[[], Awaitable[None]]) -> None:
        """Say our part, hear the other's.

        Args:
            cut: breaks the connection, and returns once there is another.

        Raises:
            AssertionError: the other side says something else than it did; what, and what it was to say.
        """
        for number, step in enumerate(self.steps):
            if "cut" in step:
                await cut()
            elif step["from"] == self.side:
                self._say(self._filled(step["message"]))
            else:
                await self._hear(number, step["message"])
        assert not self._arrived, f"nobody said so then: {self._arrived}"  # noqa: S101 - for a test

    def _say(self, message: dict[str, Any]) -> None:
        if message["operation"] == "hello" and not message.get("output", {}).get("resumed", True):
            self._seen = 0
        assert self.transport is not None  # noqa: S101 - attached before
        self.transport.send(json.dumps(message).encode())

    async def _hear(self, number: int, expected: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                while True:
                    for message in self._arrived:
                        if self._fits("", expected, message, bind := dict(self._bound)):
                            self._bound = bind
                            self._arrived.remove(message)
                            return
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"step {number}: {expected} did not come, but {self._arrived}") from None

    def _take(self, data: bytes) -> None:
        message = json.loads(data)
        self._seen = max(self._seen, message.get("seq", 0))
        if message["operation"] == "ping" and message["messageType"] == "request":
            answer = {"messageType": "response", "operation": "ping", "correlationID": message["messageID"]}
            self._say(answer | {"timestamp": messages.now().isoformat()})
        if message["operation"] not in _BESIDE:
            self._arrived.append(message)
            self._news.set()

    def _filled(self, value: Any) -> Any:
        """Return what to send for what was recorded."""
        if isinstance(value, dict):
            return {key: self._filled(member) for key, member in value.items()}
        if isinstance(value, list):
            return [self._filled(member) for member in value]
        if value == "$now":
            return messages.now().isoformat()
        if value == "$later":
            return messages.now().replace(year=messages.now().year + 1).isoformat()
        if value == "$ack":
            return self._seen
        return self._bound.get(value, value) if isinstance(value, str) else value

    def _fits(self, name: str, expected: Any, actual: Any, bound: dict[str, Any]) -> bool:
        if isinstance(expected, dict):
            return isinstance(actual, dict) and all(
                key in actual and self._fits(key, value, actual[key], bound)
                for key, value in expected.items()
            )
        if isinstance(expected, list):
            return (
                isinstance(actual, list)
                and len(actual) == len(expected)
                and all(
                    self._fits("", one, other, bound) for one, other in zip(expected, actual, strict=True)
                )
            )
        if name == "seq" or expected == "$ack":
            return isinstance(actual, int)
        if expected in ("$now", "$later"):
            return isinstance(actual, str) and _TIME.fullmatch(actual) is not None
        if isinstance(expected, str) and expected.startswith(("$id:", "$session")):
            return bool(bound.setdefault(expected, actual) == actual)
        if isinstance(expected, str) and "$" in expected:
            return isinstance(actual, str)
        return type(actual) is type(expected) and bool(actual == expected)


class PlayedHub(_Doorway):
    """A hub that says what a recorded one said.

    Args:
        steps: the conversation.
    """

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        super().__init__()
        self.player = Player(steps, "hub")
        self._connected = asyncio.Event()

    async def play(self) -> None:
        """Play it to the end."""
        await self._connected.wait()
        await self.player.play(self._cut)

    async def cut(self) -> None:
        """Return once the connection has been cut, where it was recorded so, and there is another."""
        await asyncio.wait_for(self._resumed.wait(), WITHIN)

    async def _cut(self) -> None:
        self._connected.clear()
        self.player.transport.abort()  # type: ignore[union-attr] # a WebSocket
        await asyncio.wait_for(self._connected.wait(), WITHIN)
        self._resumed.set()

    def _opened(self, transport: Transport) -> None:
        self.player.attach(transport)
        self._connected.set()


async def record(folder: Path) -> None:
    """Record both conversations of today's code into a folder that is there."""
    for who in ("thing", "app"):
        with tempfile.TemporaryDirectory() as data:
            async with running_hub(Path(data)) as hub:
                token = hub.token(PROBE) if who == "thing" else hub.user_token()
                async with Recorder(hub.url, token) as recorder:
                    await _play_through(who, hub, recorder)
                    steps = blanked(recorder.steps, recorder.url, hub.url)
        lines = ",\n".join("  " + json.dumps(step, ensure_ascii=False) for step in steps)
        (folder / f"{who}.json").write_text(f'{{"steps": [\n{lines}\n]}}\n', encoding="utf-8")


async def _play_through(who: str, hub: Any, recorder: Recorder) -> None:
    if who == "thing":
        async with probing(recorder.url), connected(hub) as home:
            await drive(home, recorder.cut)
    else:
        async with served(Probe(PROBE), hub=hub), app.connect(recorder.url, token="any") as home:  # noqa: S106 - the recorder has the hub's
            await drive(home, recorder.cut)


@asynccontextmanager
async def probing(hub: str) -> AsyncIterator[asyncio.Task[None]]:
    """Serve a probe; the block gets the task that serves it."""
    serving = asyncio.create_task(serve(Probe(PROBE), hub=hub, token="any"))  # noqa: S106 - the hub there takes any
    try:
        yield serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


if __name__ == "__main__":
    to = RELEASES / sys.argv[1]
    to.mkdir(parents=True)
    asyncio.run(record(to))
