"""How many round trips a connection takes on a slow path, and that none is saved at the cost of order."""

from __future__ import annotations

import asyncio
import time

import pytest

from plait.rtc import PeerConnection

from .paths import bad_path

ONE_WAY = 0.1
ROUND_TRIPS = 2
"""From the answer to an open channel: a check and its answer, ClientHello and ServerHello. SCTP's
handshake is in the descriptions, and a channel is open as soon as its announcement is on its way."""
SLACK = 0.3
"""Seconds for busy machines; each round trip too many would cost 0.2."""


async def test_a_channel_opens_two_round_trips_after_the_answer():
    fastest = 10.0
    for seed in range(3):
        async with bad_path(seed, delay=ONE_WAY) as path, PeerConnection() as a, PeerConnection() as b:
            channel = a.create_data_channel("x")
            answer = await path.through(await b.accept(await path.through(await a.create_offer())))
            began = time.perf_counter()
            await a.set_answer(answer)
            async with asyncio.timeout(10):
                await channel.opened()
            fastest = min(fastest, time.perf_counter() - began)
    assert fastest < ROUND_TRIPS * 2 * ONE_WAY + SLACK, fastest


@pytest.mark.parametrize("ordered", [True, False])
async def test_what_is_sent_before_the_far_end_knows_the_channel_arrives(ordered):
    sent = [f"message {number}" for number in range(50)]
    for seed in range(3):
        path = bad_path(seed, delay=0.02, loss=0.1, reorder=0.3, late=0.05)
        async with path as between, PeerConnection() as a, PeerConnection() as b:
            channels = asyncio.Queue()
            b.on_data_channel = channels.put_nowait
            channel = a.create_data_channel("x", ordered=ordered)
            answer = await b.accept(await between.through(await a.create_offer()))
            await a.set_answer(await between.through(answer))
            async with asyncio.timeout(20):
                await channel.opened()
                for message in sent:
                    channel.send_nowait(message)
                far = await channels.get()
                arrived = [await far.receive() for _ in sent]
            assert far.ordered is ordered
            assert (arrived if ordered else sorted(arrived, key=sent.index)) == sent
