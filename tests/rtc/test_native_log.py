"""What the engine says reaches Python's logging, at the level asked for, with the connection's number."""

import asyncio
import logging

import pytest

from plait.rtc import PeerConnection
from plait.rtc.native_log import Records


async def connect():
    one, other = PeerConnection(), PeerConnection()
    channel = one.create_data_channel("log")
    await one.set_answer(await other.accept(await one.create_offer()))
    await channel.opened()
    return one, other


@pytest.fixture
def native(caplog):
    logger = logging.getLogger("plait.rtc.native")
    yield logger
    logger.setLevel(logging.NOTSET)


async def test_records_come_with_level_module_and_connection(native, caplog):
    native.setLevel(logging.DEBUG)
    one, other = await connect()
    await asyncio.gather(one.close(), other.close())
    records = [record for record in caplog.records if record.name.startswith("plait.rtc.native.")]
    assert {record.levelno for record in records} >= {logging.DEBUG}
    assert any(record.name.startswith("plait.rtc.native.str0m") for record in records)
    numbers = {record.peer for record in records}
    assert {one.number, other.number} <= numbers
    assert any(record.getMessage().startswith(f"peer {one.number}: ") for record in records)


async def test_nothing_below_the_level(native, caplog):
    native.setLevel(logging.ERROR)
    one, other = await connect()
    await asyncio.gather(one.close(), other.close())
    assert not [
        r for r in caplog.records if r.name.startswith("plait.rtc.native") and r.levelno < logging.ERROR
    ]


async def test_the_level_may_change_while_a_connection_stands(native, caplog):
    native.setLevel(logging.CRITICAL)
    one, other = await connect()
    assert not [record for record in caplog.records if record.name.startswith("plait.rtc.native.")]
    native.setLevel(5)  # Rust's trace
    channel = one.create_data_channel("more")
    await channel.opened()
    await channel.send("x")
    await one.stats()
    await one.stats()
    assert [record for record in caplog.records if record.levelno == 5]
    await asyncio.gather(one.close(), other.close())


async def test_a_module_may_be_silenced_by_itself(native, caplog):
    native.setLevel(logging.DEBUG)
    silenced = logging.getLogger("plait.rtc.native.str0m")
    silenced.setLevel(logging.ERROR)
    try:
        one, other = await connect()
        await asyncio.gather(one.close(), other.close())
    finally:
        silenced.setLevel(logging.NOTSET)
    names = {record.name for record in caplog.records if record.levelno < logging.ERROR}
    assert any(name.startswith("plait.rtc.native.") for name in names)
    assert not any(name.startswith("plait.rtc.native.str0m") for name in names)


def test_each_step_of_a_library_is_a_detail(caplog):
    caplog.set_level(logging.DEBUG, "plait.rtc.native")
    Records().handle(0, (logging.INFO, "turn_client_proto::udp", 2, "return=None"))
    Records().handle(0, (logging.INFO, "_native::peer", 2, "connected"))
    Records().handle(0, (logging.WARNING, "str0m::sctp", 0, "odd"))
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO", "WARNING"]
