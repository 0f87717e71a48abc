"""A page of a headless Chromium with a peer connection, which says to Python what happens to it."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager

from plait.cli.chromium import FLAGS

CHROMIUM = shutil.which("chromium")

SCRIPT = """
window.pc = new RTCPeerConnection();
window.messages = [];
window.states = [];
pc.onicecandidate = (event) => toPython("candidate", event.candidate && event.candidate.toJSON());
pc.onconnectionstatechange = () => states.push(pc.connectionState);
window.adopt = (channel) => {
  window.channel = channel;
  channel.binaryType = "arraybuffer";
  channel.onclose = () => toPython("closed", null);
  channel.onmessage = (event) => {
    const text = typeof event.data === "string";
    channel.send(event.data);
    toPython("message", text ? event.data : event.data.byteLength);
  };
};
pc.ondatachannel = (event) => adopt(event.channel);
pc.ontrack = (event) => {
  const video = document.createElement("video");
  video.muted = true;
  video.autoplay = true;
  video.playsInline = true;
  video.srcObject = new MediaStream([event.track]);
  document.body.append(video);
  window.video = video;
};
window.decoded = async () => {
  const out = {};
  for (const report of (await pc.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "video") {
      out.frames = report.framesDecoded;
      out.keys = report.keyFramesDecoded;
      out.width = report.frameWidth;
    }
    if (report.type === "codec") out.codec = report.mimeType;
  }
  return out;
};
"""


@asynccontextmanager
async def opened():
    """Start a browser with one page, and end it."""
    from playwright.async_api import async_playwright

    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(FLAGS))
        page = await browser.new_page()
        await page.goto("about:blank")
        page.inbox = asyncio.Queue()
        await page.expose_function("toPython", lambda kind, value: page.inbox.put_nowait((kind, value)))
        await page.evaluate(SCRIPT)
        yield page
        await browser.close()
