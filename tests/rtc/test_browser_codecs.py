"""What real encoders make, decoded by a real Chromium."""

from __future__ import annotations

import asyncio

import av
import numpy as np
import pytest

from plait.rtc import EncodedFrame, PeerConnection

from .test_browser import carry, offer_to, pytestmark  # noqa: F401 - the marks
from .test_codecs import VIDEO, encoded

WITHIN = 25
DECODED = """async () => {
  const out = {};
  for (const report of (await pc.getStats()).values()) {
    if (report.type === "inbound-rtp") Object.assign(out, report);
    if (report.type === "codec") out.mime = report.mimeType;
  }
  return out;
}"""


async def connect(peer: PeerConnection, page):
    rest = await carry(peer, page)
    await offer_to(peer, page)
    await asyncio.wait_for(peer.connected(), WITHIN)
    return rest


# Chromium has no decoder for H.265 in software.
@pytest.mark.parametrize("name", [name for name in VIDEO if name != "H265"])
async def test_chromium_decodes_video(page, name):
    codec = name.partition(" ")[0]
    frames = encoded(name)
    span = frames[-1].timestamp + 3000
    async with PeerConnection(codecs=[codec]) as peer:
        line = peer.add_transceiver("video", direction="sendonly")
        rest = await connect(peer, page)
        seen: dict = {}
        async with asyncio.timeout(WITHIN):
            turn = 0
            while seen.get("framesDecoded", 0) < 60:
                for frame in frames:
                    stamp = frame.timestamp + turn * span
                    assert line.send(EncodedFrame(frame.data, stamp, frame.keyframe, codec))
                    await asyncio.sleep(0.02)
                turn += 1
                seen = await page.evaluate(DECODED)
        assert seen["mime"] == f"video/{codec}"
        assert (seen["frameWidth"], seen["frameHeight"]) == (320, 240)
        assert seen["keyFramesDecoded"] >= 2
        rest.pump.cancel()


async def test_chromium_hears_opus(page):
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = 48_000, "s16", "stereo"
    async with PeerConnection() as peer:
        line = peer.add_transceiver("audio", direction="sendonly")
        rest = await connect(peer, page)
        await page.evaluate("video.muted = false")
        seen: dict = {}
        stamp = 0
        async with asyncio.timeout(WITHIN):
            while seen.get("totalAudioEnergy", 0) < 0.01:
                for _ in range(25):
                    wave = (np.sin(np.arange(960).repeat(2) * 0.06) * 16_000).astype(np.int16).reshape(1, -1)
                    sound = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
                    sound.sample_rate = 48_000
                    for packet in encoder.encode(sound):
                        assert line.send(EncodedFrame(bytes(packet), stamp, codec="opus"))
                        stamp += 960
                    await asyncio.sleep(0.018)
                seen = await page.evaluate(DECODED)
        assert seen["mime"] == "audio/opus"
        assert seen["totalSamplesReceived"] > 0
        rest.pump.cancel()
