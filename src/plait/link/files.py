"""Files over a link: resumed where they stopped, and checked at the end.

    app:    await send_file(link, "firmware.bin", progress=show)
    thing:  path = await receive_file(link, "/var/lib/plait/incoming")

Each transfer has a reliable channel of low priority of its own, `file/ID`: an offer (JSON), the receiver's
word from which byte on it wants the file, the bytes, and the receiver's word that it has the file as it was
offered. A path that changes is the link's matter; a link that was lost is opened again by the caller, and the
file offered again: what had come is kept under its SHA-256 (`….part`), and not sent twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from plait.wire.errors import FileDamaged, Forbidden, InvalidMessage, LinkLost, PlaitError, from_problem
from plait.wire.messages import new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from plait.link.channel import Channel
    from plait.link.link import Link

    Progress = Callable[[int, int], None]

PREFIX: Final = "file/"
PRIORITY: Final = 10
"""Below everything else: a command never waits behind a file."""

PIECE: Final = 64 << 10
"""Bytes of a message, and of what is written at a time."""

LONGEST_NAME: Final = 200

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Offer(msgspec.Struct, forbid_unknown_fields=False):
    """The first message of a transfer.

    Attributes:
        name: of the file, without folders.
        size: in bytes.
        sha256: of all of it (FIPS 180-4), in hexadecimal.
    """

    name: str
    size: int
    sha256: str


class Answer(msgspec.Struct, omit_defaults=True):
    """What the receiver says: `start` first, then `done`; or `error` in place of either.

    Attributes:
        start: the byte from which on the file is wanted.
        done: the file is there, as it was offered.
        error: a problem (RFC 9457).
    """

    start: int | None = None
    done: bool = False
    error: dict[str, Any] | None = None


async def send_file(link: Link, file: str | os.PathLike[str], *, progress: Progress | None = None) -> None:
    """Send a file, and wait until the far end has it and has checked it.

    Args:
        link: the far end must be in `receive_file`, or come to it.
        file: where it is.
        progress: told how many bytes the far end has taken, and of how many.

    Raises:
        OSError: it cannot be read.
        Forbidden: the far end does not want it.
        FileDamaged: it is not what was sent: it changed while it was read. Send it again.
        LinkLost: the link is over. Open another and send it again: it goes on where it stopped.
    """
    path = Path(file)
    size, digest = await asyncio.to_thread(_measure, path)
    channel = link.channel(PREFIX + new_id(), priority=PRIORITY)
    try:
        await _send(channel, path, Offer(path.name, size, digest), progress)
    finally:
        channel.finish()  # where not all has gone, this says that no more comes


async def _send(channel: Channel, path: Path, offer: Offer, progress: Progress | None) -> None:
    await channel.send(msgspec.json.encode(offer).decode())
    start = (await _answer(channel)).start or 0
    if not 0 <= start <= offer.size:
        raise InvalidMessage(f"the far end wants the file from byte {start} on, and it has {offer.size}")
    sent = start
    source = await asyncio.to_thread(path.open, "rb")
    with source:
        source.seek(start)
        while piece := await asyncio.to_thread(source.read, PIECE):
            await channel.send(piece)
            sent += len(piece)
            if progress is not None:
                progress(sent - channel.buffered, offer.size)
            if channel.waiting and sent < offer.size:
                await _answer(channel)  # raises what it says of the rest
                raise InvalidMessage("the far end has the file before it was sent")
    channel.finish()
    await _answer(channel)
    if progress is not None:
        progress(offer.size, offer.size)


async def _answer(channel: Channel) -> Answer:
    message = await channel.receive()
    try:
        answer = msgspec.json.decode(message, type=Answer)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidMessage(f"the far end's answer cannot be read: {error}") from error
    if answer.error is not None:
        raise from_problem(msgspec.convert(answer.error, type=_problem()))
    return answer


def _problem() -> type[Any]:
    from plait.wire.errors import Problem  # noqa: PLC0415 - a type for one conversion

    return Problem


async def receive_file(
    link: Link,
    folder: str | os.PathLike[str],
    *,
    limit: int = 1 << 30,
    progress: Progress | None = None,
) -> Path:
    """Wait for a file of the far end, and return where it is.

    Args:
        link: where it comes from.
        folder: where it goes, under the name that it was offered with; another is not overwritten
            (`name-1.bin`). A file of this name and content that is there already is not sent again.
        limit: the largest that is taken, in bytes.
        progress: told how many bytes have come, and of how many.

    Raises:
        OSError: it cannot be written.
        FileDamaged: what came is not what was offered; it is thrown away, and the sender is told. Or the
            sender gave it up; what has come is kept.
        InvalidMessage: the offer cannot be read, or more came than was offered.
        LinkLost: the link is over; what has come is kept for the next time.
    """
    channel = await link.accept(PREFIX)
    try:
        return await _receive(channel, Path(folder), limit, progress)
    except LinkLost as error:
        if link.closed.is_set():
            raise
        given_up = FileDamaged("the sender gave the file up before all of it had come")
        _refuse(channel, given_up)
        raise given_up from error
    except OSError as error:
        _refuse(channel, Forbidden(f"it cannot be written: {error.strerror or error}"))
        raise
    except PlaitError as error:
        _refuse(channel, error)
        raise


def _refuse(channel: Channel, error: PlaitError) -> None:
    channel.on_message = _drop  # what still comes; its sender goes on until it reads this
    try:
        channel.send_nowait(msgspec.json.encode(Answer(error=msgspec.to_builtins(error.problem()))).decode())
        channel.finish()
    except PlaitError:
        return  # there is nobody to tell any more


def _drop(message: bytes | str) -> None:
    del message


async def _receive(channel: Channel, folder: Path, limit: int, progress: Progress | None) -> Path:
    offer = _read_offer(await channel.receive(), limit)
    there = await asyncio.to_thread(_existing, folder, offer)
    if there is None:
        part = folder / f".{offer.sha256}.part"
        with part.open("ab") as into:
            await _fill(channel, into, offer, progress)
        there = await asyncio.to_thread(_check_and_name, part, folder, offer)
    else:
        channel.send_nowait(msgspec.json.encode(Answer(start=offer.size)).decode())
    if progress is not None:
        progress(offer.size, offer.size)
    channel.send_nowait(msgspec.json.encode(Answer(done=True)).decode())
    channel.finish()
    return there


def _read_offer(message: bytes | str, limit: int) -> Offer:
    try:
        offer = msgspec.json.decode(message, type=Offer)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidMessage(f"the offer of a file cannot be read: {error}") from error
    plain = (
        offer.name == Path(offer.name).name and offer.name not in ("", ".", "..") and "\0" not in offer.name
    )
    if (
        not plain
        or offer.name.startswith(".")
        or len(offer.name.encode()) > LONGEST_NAME
        or "\\" in offer.name
    ):
        raise Forbidden(f"{offer.name[:100]!r} is no name for a file here")
    if not _SHA256.fullmatch(offer.sha256) or offer.size < 0:
        raise InvalidMessage("the offer of a file has no size or SHA-256")
    if offer.size > limit:
        raise Forbidden(f"{offer.name} has {offer.size} bytes; at most {limit} are taken")
    return offer


async def _fill(channel: Channel, into: BinaryIO, offer: Offer, progress: Progress | None) -> None:
    """Write what is missing, in order; after a power loss at most the last piece is missing again."""
    came = into.tell()
    if came > offer.size:
        into.truncate(0)
        came = 0
    channel.send_nowait(msgspec.json.encode(Answer(start=came)).decode())
    while came < offer.size:
        piece = await channel.receive()
        if not isinstance(piece, bytes) or came + len(piece) > offer.size:
            raise InvalidMessage("something else than the offered bytes came")
        await asyncio.to_thread(into.write, piece)
        came += len(piece)
        if progress is not None:
            progress(came, offer.size)
    await asyncio.to_thread(_sync, into)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return file.tell(), digest


def _existing(folder: Path, offer: Offer) -> Path | None:
    folder.mkdir(parents=True, exist_ok=True)
    there = folder / offer.name
    same = there.is_file() and there.stat().st_size == offer.size and _measure(there)[1] == offer.sha256
    return there if same else None


def _check_and_name(part: Path, folder: Path, offer: Offer) -> Path:
    if _measure(part)[1] != offer.sha256:
        part.unlink()
        raise FileDamaged(f"the SHA-256 of {offer.name} is not the one that was offered")
    stem, suffix = os.path.splitext(offer.name)  # noqa: PTH122 - of a name, not of a path
    target, number = folder / offer.name, 0
    while True:
        try:
            os.link(part, target)  # unlike a rename, never over another file
        except FileExistsError:
            number += 1
            target = folder / f"{stem}-{number}{suffix}"
        else:
            part.unlink()
            return target
