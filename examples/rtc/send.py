"""Send a file's H.264 to whoever asks, as it is: nothing is decoded or encoded. Plays over and over.

python send.py FILE [PORT]   then open the page that it names, or run receive.py.
It needs PyAV: pip install av
"""

import asyncio
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import av
from av.bitstream import BitStreamFilterContext

from plait.rtc import EncodedFrame, PeerConnection, SessionDescription

PAGE = """<!doctype html><title>plait.rtc</title>
<video autoplay muted playsinline controls></video>
<script type=module>
const peer = new RTCPeerConnection();
peer.addTransceiver("video", { direction: "recvonly" });
peer.ontrack = (event) => { document.querySelector("video").srcObject = new MediaStream([event.track]); };
await peer.setLocalDescription(await peer.createOffer());
const reply = await fetch("/", { method: "POST", body: JSON.stringify(peer.localDescription) });
await peer.setRemoteDescription(await reply.json());
</script>"""
CLOCK = 90_000  # RTP's for video, in Hz


async def play(file: str, viewers: set[PeerConnection]) -> None:
    """Hand each access unit of the file to all viewers, when it is due."""
    loop = asyncio.get_running_loop()
    began, offset = loop.time(), 0.0
    while True:
        with av.open(file) as container:
            stream = container.streams.video[0]
            annex_b = BitStreamFilterContext("h264_mp4toannexb", in_stream=stream)
            time = 0.0
            for packet in container.demux(stream):
                if packet.pts is None:
                    continue
                time = float(packet.pts * packet.time_base)
                timestamp = round((offset + time) * CLOCK)
                await asyncio.sleep(began + offset + time - loop.time())
                for unit in annex_b.filter(packet):
                    frame = EncodedFrame(bytes(unit), timestamp, packet.is_keyframe, "H264")
                    for viewer in list(viewers):
                        for line in viewer.transceivers:
                            line.send(frame)
            offset += time + float(1 / stream.average_rate)


async def main(file: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    viewers: set[PeerConnection] = set()

    async def answer(offer: dict[str, str]) -> dict[str, str]:
        peer = PeerConnection(codecs=["H264"])
        viewers.add(peer)
        peer.on_connection_state_change = lambda _: peer.close_reason and viewers.discard(peer)
        description = await peer.accept(SessionDescription("offer", offer["sdp"]))
        return {"type": "answer", "sdp": description.sdp}

    class Signaling(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply("text/html", PAGE.encode())

        def do_POST(self) -> None:
            offer = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answered = asyncio.run_coroutine_threadsafe(answer(offer), loop).result(10)
            self.reply("application/json", json.dumps(answered).encode())

        def reply(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Signaling)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    await play(file, viewers)


asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000))
