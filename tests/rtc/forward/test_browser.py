"""Forwarding to a real Chromium, and from one."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from plait.rtc import SessionDescription

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"),
]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    # Host candidates with addresses instead of .local names.
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]

SCRIPT = """
window.pc = new RTCPeerConnection();
pc.ontrack = (event) => {
  const video = document.createElement("video");
  video.muted = true;
  video.autoplay = true;
  video.srcObject = new MediaStream([event.track]);
  document.body.append(video);
};
window.described = async () => {
  while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
  return pc.localDescription.sdp;
};
window.answer = async (sdp) => {
  await pc.setRemoteDescription({ type: "offer", sdp });
  await pc.setLocalDescription();
  return described();
};
// A moving picture, sent as VP8 with the encodings given.
window.offer = async (encodings) => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [640, 480];
  const context = canvas.getContext("2d");
  let number = 0;
  setInterval(() => {
    number += 1;
    for (let band = 0; band < 24; band += 1) {
      context.fillStyle = `hsl(${(band * 15 + number * 7) % 360} 80% 50%)`;
      context.fillRect((band * 27 + number * 5) % 640, 0, 27, 480);
    }
  }, 33);
  const line = pc.addTransceiver(canvas.captureStream(30).getVideoTracks()[0], {
    direction: "sendonly",
    sendEncodings: encodings,
  });
  const all = RTCRtpSender.getCapabilities("video").codecs;
  line.setCodecPreferences(all.filter((codec) => /VP8|rtx/.test(codec.mimeType)));
  await pc.setLocalDescription();
  return described();
};
window.video = async () => {
  for (const report of (await pc.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "video") {
      return { frames: report.framesDecoded, dropped: report.framesDropped, width: report.frameWidth };
    }
  }
  return { frames: 0 };
};
"""


@pytest.fixture
async def browser():
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        await browser.close()


async def opened(browser):
    page = await browser.new_page()
    await page.goto("about:blank")
    await page.evaluate(SCRIPT)
    return page


async def decoded(page, frames: int, width: int | None = None) -> dict:
    """Wait until the page has decoded so many frames (of that width)."""
    video: dict = {}
    try:
        async with asyncio.timeout(25):
            while not (video.get("frames", 0) >= frames and width in (None, video.get("width"))):
                await asyncio.sleep(0.1)
                video = await page.evaluate("video()")
    except TimeoutError:
        raise AssertionError(f"not {frames} frames of width {width}: {video}") from None
    return video


async def watched(relay, browser, incoming):
    """Forward to a new page; returns the page and the forwarding."""
    page = await opened(browser)
    near = await relay.open(packets=True)
    line = near.add_transceiver("video", direction="sendonly", codecs=("H264", "VP8"))
    offer = await near.create_offer()
    answer = await page.evaluate("(sdp) => answer(sdp)", offer.sdp)
    await near.set_answer(SessionDescription("answer", answer))
    return page, await incoming.forward_to(line)


async def sending(relay, page, encodings):
    """Have a page send; returns the line that it comes in on."""
    peer = await relay.open(packets=True)
    offer = await page.evaluate("(encodings) => offer(encodings)", encodings)
    answer = await peer.accept(SessionDescription("offer", offer))
    await page.evaluate('(sdp) => pc.setRemoteDescription({ type: "answer", sdp })', answer.sdp)
    await asyncio.wait_for(peer.connected(), 15)
    return peer.transceivers[0]


async def test_h264_to_chromium_and_four_others(relay, browser, h264):
    camera = relay.camera(h264)
    incoming = await relay.take(camera)
    viewers = [await relay.show(incoming) for _ in range(4)]
    page, forwarding = await watched(relay, browser, incoming)
    video = await decoded(page, 60)
    await asyncio.gather(*(viewer.got(60) for viewer in viewers))
    assert video["width"] == 768
    stats = await forwarding.stats()
    assert stats["codec"] == "H264"
    # It saw no gap: what its decoder asked for, it asked for while it started.
    assert stats["framesDropped"] == 0
    assert stats["pliCount"] <= 1


@pytest.mark.long
async def test_vp8_with_temporal_layers_from_chromium(relay, browser, decodable):
    source = await opened(browser)
    encodings = [{"scalabilityMode": "L1T3", "maxBitrate": 800_000}]
    incoming = await sending(relay, source, encodings)
    page, forwarding = await watched(relay, browser, incoming)
    ours = await relay.show(incoming)
    await asyncio.gather(decoded(page, 40), ours.got(40))
    forwarder = forwarding.forwarder
    stream = next(entry for entry in (await forwarder.stats()).values() if entry["type"] == "inbound-rtp")
    assert (stream["codec"], stream["temporalLayers"]) == ("VP8", 3)
    # The base layer alone, a quarter of the frames, is a whole stream to the decoder.
    before = await page.evaluate("video()")
    for viewer in (forwarding, ours.forwarding):
        viewer.limit(max_temporal_layer=0)
    began = await forwarding.stats()
    begun = len(ours.frames)
    await decoded(page, before["frames"] + 15)
    await ours.got(15)
    ended = await forwarding.stats()
    dropped = ended["framesDroppedLimits"] - began["framesDroppedLimits"]
    assert dropped > 2 * (ended["framesSent"] - began["framesSent"])
    assert decodable(ours.frames[: begun + 15]) >= begun + 14
    assert ended["pliCount"] == began["pliCount"]
    # And with all layers again, from the next frame that allows it.
    forwarding.limit()
    now = await page.evaluate("video()")
    await decoded(page, now["frames"] + 40)


@pytest.mark.long
async def test_simulcast_from_chromium(relay, browser):
    source = await opened(browser)
    encodings = [
        {"rid": "q", "scaleResolutionDownBy": 4, "maxBitrate": 150_000},
        {"rid": "f", "maxBitrate": 900_000},
    ]
    incoming = await sending(relay, source, encodings)
    small, limited = await watched(relay, browser, incoming)
    large, _ = await watched(relay, browser, incoming)
    limited.limit(max_layer=0)
    await asyncio.gather(decoded(small, 20, 160), decoded(large, 20, 640))
    rids = {
        entry["rid"] for entry in (await limited.forwarder.stats()).values() if entry["type"] == "inbound-rtp"
    }
    assert rids == {"q", "f"}
    # The same viewer gets the large one without negotiation.
    limited.limit()
    await decoded(small, 40, 640)
