"""A real hub on a free port, and what talks to it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict

import pytest

from plait.hub.main import Hub
from plait.hub.settings import Settings
from plait.transport import websocket
from plait.transport.client import Client
from plait.wire import description, messages
from plait.wire.errors import ActionFailed

LAMP = "urn:dev:lamp"


def describe(thing=LAMP, **changes):
    """A description with one of everything."""
    return (
        description.thing_description(
            thing,
            "Lamp",
            properties={
                "on": description.property_affordance(thing, "on", {"type": "boolean"}),
                "level": description.property_affordance(
                    thing, "level", {"type": "integer", "minimum": 0, "maximum": 100}
                ),
                "temperature": description.property_affordance(
                    thing, "temperature", {"type": "number"}, read_only=True
                ),
                "text": description.property_affordance(thing, "text", {"type": "string"}),
            },
            actions={
                "blink": description.action_affordance(
                    thing,
                    "blink",
                    input_schema={
                        "type": "object",
                        "properties": {"times": {"type": "integer", "minimum": 1}},
                    },
                ),
                "explode": description.action_affordance(thing, "explode"),
                "sleep": description.action_affordance(thing, "sleep"),
            },
            events={"overheated": description.event_affordance({"type": "number"})},
        )
        | changes
    )


class Device:
    """A thing: answers as it is told to, and remembers what it was asked."""

    def __init__(self, hub, thing=LAMP, token=None, td=None):
        self.asked = []
        self.states = []
        self.td = td or describe(thing)
        self.described = None
        self.token = token or hub.token(thing)
        self.answers = {"blink": lambda asked: {"blinked": asked.input}, "explode": self._explode}
        self.client = Client(
            hub if isinstance(hub, str) else hub.url,
            token=self.token,
            on_message=self._take,
            on_state=self.states.append,
            on_session=self._describe,
            software="device/1",
        )

    def _describe(self):
        request = messages.request(messages.DESCRIBE_THING, value=self.td)
        self.described = self.client.expect(request)
        return [request]

    @staticmethod
    def _explode(_):
        raise ActionFailed("ZeroDivisionError: it blew up")

    def _take(self, message):
        self.asked.append(message)
        if message.message_type != "request":
            return
        if message.operation == messages.READ_PROPERTY:
            self.client.respond(message, value=self.answers.get(message.name, 1), timestamp=messages.now())
        elif message.operation == messages.WRITE_PROPERTY:
            self.client.respond(message, value=message.value, timestamp=messages.now())
        elif message.operation == messages.SIGNAL:
            self.client.respond(message, output={"type": "answer", "sdp": "v=0"})
        elif message.name in self.answers:
            self.client.respond(message, output=self.answers[message.name](message))

    async def start(self):
        await self.client.start(5)
        await self.described

    def report(self, name, value, **members):
        self.client.notify(messages.OBSERVE_PROPERTY, name=name, value=value, **members)

    async def kept(self):
        assert await self.client.flush(5)


class App:
    """An app: remembers what it was told, by operation."""

    def __init__(self, hub, token=None, **options):
        self.told = defaultdict(list)
        self.states = []
        self.token = token or hub.user_token()
        self.client = Client(
            hub if isinstance(hub, str) else hub.url,
            token=self.token,
            on_message=lambda message: self.told[message.operation].append(message),
            on_state=self.states.append,
            **options,
        )

    async def ask(self, operation, thing=LAMP, **members):
        return await self.client.request(operation, thing_id=thing, **members)

    def values(self, name):
        return [message.value for message in self.told[messages.OBSERVE_PROPERTY] if message.name == name]


class Raw:
    """A client that says exactly what a test wants it to say."""

    def __init__(self):
        self.transport = None
        self.closed = asyncio.get_running_loop().create_future()
        self._came = asyncio.Queue()
        self._ids = itertools.count(1)

    def open(self, transport):
        self.transport = transport
        transport.on_message = lambda data: self._came.put_nowait(json.loads(data))
        transport.on_close = lambda code, reason: self.closed.set_result((code, reason))

    def send(self, message):
        self.transport.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    async def next(self, **wanted):
        """The next message that has these members."""
        async with asyncio.timeout(5):
            while True:
                message = await self._came.get()
                if all(message.get(name) == value for name, value in wanted.items()):
                    return message

    async def hello(self, **given):
        self.send(
            {
                "messageType": "request",
                "operation": "hello",
                "messageID": f"h{next(self._ids)}",
                "input": {"protocol": 1, **given},
            }
        )
        return (await self.next(operation="hello"))["output"]

    async def close_code(self):
        async with asyncio.timeout(5):
            return (await self.closed)[0]


async def within(condition, seconds=5.0):
    """Wait for something that tells nobody when it comes to be."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.005)


@pytest.fixture
def settings(tmp_path):
    return Settings(port=0, data=tmp_path / "data")


@pytest.fixture
async def hub(settings):
    async with Hub(settings) as hub:
        yield hub


@pytest.fixture
async def device(hub):
    device = Device(hub)
    await device.start()
    yield device
    await device.client.close(flush=0)


@pytest.fixture
async def app(hub):
    app = App(hub)
    await app.client.start(5)
    yield app
    await app.client.close(flush=0)


@pytest.fixture
async def raw(hub):
    """Opens raw connections: `await raw(token)`."""
    opened = []

    async def open_raw(token):
        client = Raw()
        await websocket.connect(websocket.endpoint(hub.url), token=token, on_open=client.open)
        opened.append(client)
        return client

    yield open_raw
    for client in opened:
        client.transport.close()
        async with asyncio.timeout(5):
            await client.closed
