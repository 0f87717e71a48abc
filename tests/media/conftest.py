"""Clips of every awkward kind, made once per run by the encoders that PyAV carries."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from plait.media import STREET, Source


def make(
    path,
    codec,
    *,
    rate=25,
    frames=50,
    size=(320, 240),
    options=None,
    audio=None,
    pix_fmt="yuv420p",
    **codec_args,
):
    """Write a clip of a bar that moves; `audio` names a sound codec, which gets a 440 Hz tone."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        sound = output.add_stream(audio, rate=48_000) if audio else None
        for index in range(frames):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            at = index * 5 % size[0]
            picture[:, at : at + 20] = (255, 200, 0)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            output.mux(stream.encode(frame))
        if sound is not None:
            total = 48_000 * frames // rate
            wave = (np.sin(np.arange(total) * 2 * np.pi * 440 / 48_000) * 0.5).astype(np.float32)
            for start in range(0, total - 1023, 1024):
                block = np.stack([wave[start : start + 1024]] * 2)
                tone = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                tone.sample_rate, tone.pts, tone.time_base = 48_000, start, Fraction(1, 48_000)
                output.mux(sound.encode(tone))
            output.mux(sound.encode(None))
        output.mux(stream.encode(None))
    return str(path)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Paths by what is awkward about each."""
    folder = tmp_path_factory.mktemp("clips")
    plain = {"profile": "baseline", "g": "25", "bf": "0"}
    (folder / "text.mp4").write_text("This is not a video.\n" * 100)
    (folder / "tail.mp4").write_bytes(Path(STREET).read_bytes()[-100_000:])
    (folder / "cut.mp4").write_bytes(Path(STREET).read_bytes()[:100_000])
    (folder / "notes.txt").write_text("This is not a video.\n" * 100)
    av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24").save(
        str(folder / "still.png")
    )
    # All of the header (the index comes first in this clip), and nothing of the pictures.
    whole = Path(STREET).read_bytes()
    (folder / "header.mp4").write_bytes(whole[: whole.index(b"mdat") + 4])
    return {
        "notes": str(folder / "notes.txt"),
        "header": str(folder / "header.mp4"),
        "still": str(folder / "still.png"),
        "street": STREET,
        "b_frames": make(folder / "b.mp4", "libx264", options={"bf": "2", "g": "25", "b-adapt": "0"}),
        "transport": make(folder / "plain.ts", "libx264", options=plain),
        "rare": make(folder / "rare.mp4", "libx264", options=plain | {"g": "250"}, frames=100),
        "one": make(folder / "one.mp4", "libx264", options=plain, frames=1),
        "one_encoded": make(folder / "one.avi", "mjpeg", frames=1, pix_fmt="yuvj420p"),
        "short": make(folder / "short.mp4", "libx264", options=plain, frames=20),
        "sound": make(folder / "aac.mp4", "libx264", options=plain, frames=20, audio="aac"),
        "opus": make(folder / "opus.mkv", "libx264", options=plain, frames=20, audio="libopus"),
        "mjpeg": make(folder / "m.avi", "mjpeg", frames=20, pix_fmt="yuvj420p"),
        "high422": make(folder / "422.mp4", "libx264", options={"bf": "0"}, frames=10, pix_fmt="yuv422p"),
        "odd": make(folder / "odd.avi", "mjpeg", frames=10, size=(321, 241), pix_fmt="yuvj420p"),
        "text": str(folder / "text.mp4"),
        "tail": str(folder / "tail.mp4"),
        "cut": str(folder / "cut.mp4"),
        "missing": str(folder / "missing.mp4"),
        "folder": str(folder),
    }


@asynccontextmanager
async def _playing(location, **options):
    source, frames = Source(location, **options), []
    source.on_frame = frames.append
    source.watch(True)
    await source.open()
    try:
        yield source, frames
    finally:
        await source.close()


@pytest.fixture
def playing():
    """Play a source that is watched; gives it and the list that its frames go to."""
    return _playing


async def _until(condition, within=20.0):
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@pytest.fixture
def until():
    """Wait until a condition holds."""
    return _until


@pytest.fixture(scope="session")
def noise():
    """Make pictures that are hard to encode, 320x240."""

    def make(count):
        random = np.random.default_rng(1)
        for _ in range(count):
            picture = random.integers(100, 140, (360, 320), dtype=np.uint8)
            yield av.VideoFrame.from_ndarray(picture, format="yuv420p")

    return make
