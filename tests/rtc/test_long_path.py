"""Channels over a path that holds more than the least that may be on its way."""

import asyncio

from plait.rtc import PeerConnection

from .paths import bad_path

LEAST = 1 << 20


async def test_a_long_path_is_filled_and_a_short_one_has_no_more_than_before(peers, channel_pair):
    """A path of 200 ms there and back: 1 MiB would be 5 MB/s."""
    async with bad_path(6, delay=0.1) as path, PeerConnection() as a, PeerConnection() as b:
        mine = a.create_data_channel("bulk")
        opened: asyncio.Future = asyncio.get_running_loop().create_future()
        b.on_data_channel = opened.set_result
        await path.join(a, b)
        theirs = await asyncio.wait_for(opened, 20)
        theirs.on_message = lambda _: None
        async with asyncio.timeout(30):
            while mine.buffered_amount < 1.25 * LEAST:
                await mine.send(bytes(65536))
        assert mine.buffered_amount <= 4 * LEAST + 65536
        await asyncio.wait_for(mine.drain(0), 30)

    mine, theirs = await channel_pair(*peers)
    theirs.on_message = lambda _: None
    most = 0
    for _ in range(300):
        await mine.send(bytes(65536))
        most = max(most, mine.buffered_amount)
    assert most <= LEAST + 65536
