"""Files between an app and a thing: whole, resumed, refused, damaged."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

from plait.link import receive_file, send_file
from plait.testing import connected, running_hub, served
from plait.thing import Thing
from plait.wire.errors import FileDamaged, Forbidden, InvalidMessage, LinkLost, PlaitError

if TYPE_CHECKING:
    from plait.link import Link

WITHIN = 30


class Box(Thing):
    """It takes files, and gives one."""

    def __init__(self, folder) -> None:
        super().__init__("urn:dev:box")
        self.folder = folder
        self.limit = 64 << 20
        self.links: list[Link] = []
        self.came: asyncio.Queue = asyncio.Queue()
        self.gives = None
        self.die_at = 0

    async def on_link(self, link: Link) -> None:
        self.links.append(link)
        if self.gives is not None:
            await send_file(link, self.gives)
            return

        def progress(came: int, _: int) -> None:
            if self.die_at and came >= self.die_at:
                self.die_at = 0
                link.close(LinkLost("the power is gone"))

        while True:
            try:
                self.came.put_nowait(
                    await receive_file(link, self.folder, limit=self.limit, progress=progress)
                )
            except LinkLost:
                return
            except (PlaitError, OSError) as error:
                self.came.put_nowait(error)


@pytest.fixture
async def box(tmp_path):
    box = Box(tmp_path / "in")
    async with running_hub(tmp_path / "hub") as hub, served(box, hub=hub), connected(hub) as home:
        box.home = home
        yield box


def link_to(box, **options):
    return box.home.thing("Box").link(**options)


async def came(box):
    return await asyncio.wait_for(box.came.get(), WITHIN)


def a_file(tmp_path, size=3_000_000, name="clip.bin"):
    path = tmp_path / name
    path.write_bytes(os.urandom(size))
    return path


@pytest.mark.parametrize("direct", [True, False])
async def test_a_file_comes_whole(box, tmp_path, direct):
    file = a_file(tmp_path)
    steps = []
    async with link_to(box, direct=direct) as link:
        await asyncio.wait_for(send_file(link, file, progress=lambda *step: steps.append(step)), WITHIN)
        path = await came(box)
    assert path == box.folder / "clip.bin"
    assert path.read_bytes() == file.read_bytes()
    assert steps[-1] == (3_000_000, 3_000_000)
    assert steps == sorted(steps)
    assert not list(box.folder.glob(".*.part"))


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537])
async def test_sizes(box, tmp_path, size):
    file = a_file(tmp_path, size)
    async with link_to(box, direct=False) as link:
        await asyncio.wait_for(send_file(link, file), WITHIN)
        assert (await came(box)).read_bytes() == file.read_bytes()


async def test_a_lost_link_goes_on_at_the_byte_where_it_stopped(box, tmp_path):
    file = a_file(tmp_path)
    box.die_at = 1_500_000
    async with link_to(box, direct=False) as link:
        with pytest.raises(LinkLost):
            await asyncio.wait_for(send_file(link, file), WITHIN)
    (part,) = box.folder.glob(".*.part")
    kept = part.stat().st_size
    assert 1_500_000 <= kept < 3_000_000
    assert part.read_bytes() == file.read_bytes()[:kept]
    steps = []
    async with link_to(box, direct=False) as link:
        await asyncio.wait_for(send_file(link, file, progress=lambda *step: steps.append(step[0])), WITHIN)
        assert (await came(box)).read_bytes() == file.read_bytes()
    assert min(steps) >= kept, "nothing was sent twice"


async def test_what_is_there_already_is_not_sent_and_nothing_is_overwritten(box, tmp_path):
    file = a_file(tmp_path, 100_000)
    async with link_to(box, direct=False) as link:
        for _ in range(2):
            await asyncio.wait_for(send_file(link, file), WITHIN)
            assert await came(box) == box.folder / "clip.bin"
        other = a_file(tmp_path / "hub", 1000)
        await asyncio.wait_for(send_file(link, other), WITHIN)
        assert await came(box) == box.folder / "clip-1.bin"
    assert (box.folder / "clip.bin").read_bytes() == file.read_bytes()


async def test_a_thing_sends_as_well(box, tmp_path):
    box.gives = a_file(tmp_path)
    async with link_to(box) as link:
        path = await asyncio.wait_for(receive_file(link, tmp_path / "mine"), WITHIN)
    assert path.read_bytes() == box.gives.read_bytes()


async def test_two_files_and_a_command_at_a_time(box, tmp_path):
    first, second = a_file(tmp_path, name="a.bin"), a_file(tmp_path, name="b.bin")
    async with link_to(box, direct=False) as link:
        await asyncio.wait_for(asyncio.gather(send_file(link, first), send_file(link, second)), WITHIN)
        names = {(await came(box)).name, (await came(box)).name}
    assert names == {"a.bin", "b.bin"}


async def test_one_that_is_too_large_is_refused(box, tmp_path):
    box.limit = 1000
    async with link_to(box, direct=False) as link:
        with pytest.raises(Forbidden, match="at most 1000"):
            await asyncio.wait_for(send_file(link, a_file(tmp_path)), WITHIN)
        await asyncio.wait_for(send_file(link, a_file(tmp_path, 999)), WITHIN)


async def test_a_folder_that_cannot_be_written_is_said(box, tmp_path):
    box.folder = tmp_path / "file"
    box.folder.write_text("not a folder")
    async with link_to(box, direct=False) as link:
        with pytest.raises(Forbidden, match="cannot be written"):
            await asyncio.wait_for(send_file(link, a_file(tmp_path)), WITHIN)
    assert isinstance(await came(box), OSError)


async def offered(link, offer, *pieces):
    channel = link.channel("file/x", priority=1)
    await channel.send(offer if isinstance(offer, str) else json.dumps(offer))
    for piece in pieces:
        await channel.send(piece)
    return [json.loads(message) async for message in channel]


GOOD = hashlib.sha256(b"good").hexdigest()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "x" * 300, "a\\b", "a\0b"]
)
async def test_names_that_lead_elsewhere(box, name):
    async with link_to(box, direct=False) as link:
        answers = await asyncio.wait_for(offered(link, {"name": name, "size": 4, "sha256": GOOD}), WITHIN)
    assert answers[-1]["error"]["type"].endswith("forbidden")
    assert isinstance(await came(box), Forbidden)


@pytest.mark.parametrize(
    ("offer", "pieces", "error"),
    [
        ("no JSON", [], InvalidMessage),
        ({"name": "x", "size": -1, "sha256": GOOD}, [], InvalidMessage),
        ({"name": "x", "size": 4, "sha256": "abc"}, [], InvalidMessage),
        ({"name": "x", "size": 4, "sha256": GOOD}, [b"evil"], FileDamaged),
        ({"name": "x", "size": 4, "sha256": GOOD}, [b"good more"], InvalidMessage),
        ({"name": "x", "size": 4, "sha256": GOOD}, ["good"], InvalidMessage),
    ],
)
async def test_liars(box, tmp_path, offer, pieces, error):
    async with link_to(box, direct=False) as link:
        answers = await asyncio.wait_for(offered(link, offer, *pieces), WITHIN)
        assert "error" in answers[-1]
        assert isinstance(await came(box), error)
        assert not list(box.folder.glob("x*")) if box.folder.exists() else True
        file = a_file(tmp_path, 1000)
        await asyncio.wait_for(send_file(link, file), WITHIN)
        assert (await came(box)).read_bytes() == file.read_bytes(), "the next one comes"


async def test_one_that_is_not_there(box, tmp_path):
    async with link_to(box, direct=False) as link:
        with pytest.raises(FileNotFoundError):
            await send_file(link, tmp_path / "nothing")


async def test_a_sender_that_gives_up_is_heard_and_what_came_is_kept(box, tmp_path):
    file = a_file(tmp_path, 20_000_000)
    under_way = asyncio.Event()
    async with link_to(box, direct=False) as link:
        sending = asyncio.create_task(
            send_file(link, file, progress=lambda done, _: under_way.set() if done > 1_000_000 else None)
        )
        await asyncio.wait_for(under_way.wait(), WITHIN)
        sending.cancel()
        error = await came(box)
        assert isinstance(error, FileDamaged)
        assert "gave the file up" in str(error)
        (part,) = box.folder.glob(".*.part")
        kept = part.stat().st_size
        assert 1_000_000 <= kept < 20_000_000
        steps = []
        await asyncio.wait_for(send_file(link, file, progress=lambda *step: steps.append(step[0])), WITHIN)
        assert (await came(box)).read_bytes() == file.read_bytes()
    assert min(steps) >= kept, "nothing was sent twice"


async def test_a_refusal_in_between_is_heard_at_once(box, tmp_path):
    box.gives = a_file(tmp_path, 20_000_000)
    async with link_to(box, direct=False) as link:
        channel = await asyncio.wait_for(link.accept("file/"), WITHIN)
        await channel.receive()
        await channel.send('{"start": 0}')
        await channel.receive()
        refused = {
            "type": "urn:plait:problem:forbidden",
            "title": "",
            "status": 403,
            "detail": "the disk is full",
        }
        await channel.send(json.dumps({"error": refused}))
        channel.finish()
        channel.on_message = lambda _: None
        await asyncio.wait_for(link.closed.wait(), 10)
        assert "the disk is full" in str(link.error)
