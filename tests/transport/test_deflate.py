"""Messages longer than a packet are deflated between ends of ours, and between nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import zlib

import picows
import pytest
from picows import WSMsgType

from plait.transport import deflate, websocket
from plait.wire.messages import SUBPROTOCOL_JSON

WITHIN = 10
LONG = b'{"sdp":"' + b"a=rtcp-fb:127 nack pli\\r\\n" * 200 + b'"}'


class Raw(picows.WSListener):
    """A client that speaks frames, and keeps those that come."""

    def __init__(self):
        self.frames = asyncio.Queue()
        self.closed = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport):
        self.ws = transport

    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            self.closed.set_result(int(frame.get_close_code().value))
            transport.disconnect()
        else:
            self.frames.put_nowait((frame.rsv1, frame.get_payload_as_bytes()))


@contextlib.asynccontextmanager
async def hub():
    """Listen as the hub does, and send each message back."""
    ends = []

    def opened(end):
        ends.append(end)
        end.on_message = end.send

    server = await picows.ws_create_server(
        lambda request: websocket.accept(request, opened), "127.0.0.1", 0, max_frame_size=websocket.MAX_FRAME
    )
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
    finally:
        server.close()
        for end in ends:
            end.abort()


async def dial(url, extensions=deflate.OFFER):
    """Return a raw client, and the extensions that the hub agreed on."""
    headers = {"Sec-WebSocket-Protocol": SUBPROTOCOL_JSON, "Sec-WebSocket-Extensions": extensions}
    agreed = None

    def listener(_, response):
        nonlocal agreed
        agreed = response.headers.get("Sec-WebSocket-Extensions")
        return Raw()

    ws, raw = await picows.ws_connect(listener, url, extra_headers=headers)
    asyncio.ensure_future(ws.wait_disconnected()).add_done_callback(
        lambda done: done.cancelled() or done.exception()
    )
    return raw, agreed


async def test_what_is_longer_than_a_packet_goes_deflated_both_ways():
    async with hub() as url:
        raw, agreed = await dial(url)
        assert agreed == deflate.OFFER
        raw.ws.send(WSMsgType.TEXT, deflate.deflate(LONG), rsv1=True)
        deflated, payload = await asyncio.wait_for(raw.frames.get(), WITHIN)
        assert deflated
        assert len(payload) < len(LONG) / 10
        assert deflate.inflate(payload, len(LONG)) == LONG
        raw.ws.disconnect()


async def test_our_own_ends_agree_on_it():
    async with hub() as url:
        came = asyncio.Queue()

        def opened(end):
            end.on_message = came.put_nowait

        end = await websocket.connect(url, on_open=opened)
        for message in (LONG, b"short", b"x" * (deflate.LONGEST + 1)):
            end.send(message)
            assert await asyncio.wait_for(came.get(), WITHIN) == message
        end.abort()


@pytest.mark.parametrize("message", [b"short", b"x" * (deflate.LONGEST + 1)], ids=["short", "very long"])
async def test_what_is_short_or_very_long_goes_as_it_is(message):
    async with hub() as url:
        raw, _ = await dial(url)
        raw.ws.send(WSMsgType.TEXT, message)
        assert await asyncio.wait_for(raw.frames.get(), WITHIN) == (False, message)
        raw.ws.disconnect()


@pytest.mark.parametrize(
    "extensions", ["permessage-deflate; client_max_window_bits", "permessage-deflate", "x-other"]
)
async def test_a_browser_is_not_given_it(extensions):
    async with hub() as url:
        raw, agreed = await dial(url, extensions)
        assert agreed is None
        raw.ws.send(WSMsgType.TEXT, LONG)
        assert await asyncio.wait_for(raw.frames.get(), WITHIN) == (False, LONG)
        raw.ws.send(WSMsgType.TEXT, deflate.deflate(LONG), rsv1=True)
        assert await asyncio.wait_for(raw.closed, WITHIN) == 1002


async def test_a_message_in_fragments_is_inflated_whole():
    async with hub() as url:
        raw, _ = await dial(url)
        payload = deflate.deflate(LONG)
        raw.ws.send(WSMsgType.TEXT, payload[:20], fin=False, rsv1=True)
        raw.ws.send(WSMsgType.CONTINUATION, payload[20:])
        _, back = await asyncio.wait_for(raw.frames.get(), WITHIN)
        assert deflate.inflate(back, len(LONG)) == LONG
        raw.ws.disconnect()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        pytest.param(b"\xff" * 100, 1002, id="not deflated"),
        pytest.param(deflate.deflate(bytes(websocket.MAX_FRAME + 1)), 1009, id="a bomb"),
    ],
)
async def test_what_cannot_be_inflated_closes_the_connection(payload, code):
    async with hub() as url:
        raw, _ = await dial(url)
        raw.ws.send(WSMsgType.TEXT, payload, rsv1=True)
        assert await asyncio.wait_for(raw.closed, WITHIN) == code


def test_a_far_end_that_deflates_by_another_library_is_read():
    deflating = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    payload = (deflating.compress(LONG) + deflating.flush(zlib.Z_SYNC_FLUSH))[:-4]
    assert deflate.inflate(payload, len(LONG)) == LONG
    assert deflate.inflate(payload, len(LONG) - 1) is None
