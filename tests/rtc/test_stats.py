"""What a report holds beside the counters that other tests look at (https://www.w3.org/TR/webrtc-stats/)."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from plait.rtc import PeerConnection, SessionDescription

if TYPE_CHECKING:
    from plait.rtc import EncodedFrame


WITHIN = 20


async def test_both_certificates_are_those_that_were_verified(joined) -> None:
    async with PeerConnection() as a, PeerConnection() as b:
        a.create_data_channel("x")
        await joined(a, b)
        report = await a.stats()
        transport = report["T"]
        assert transport["dtlsState"] == "connected"
        ours, theirs = report[transport["localCertificateId"]], report[transport["remoteCertificateId"]]
        assert (ours["fingerprint"], theirs["fingerprint"]) == (
            a.certificate.fingerprint.partition(" ")[2],
            b.certificate.fingerprint.partition(" ")[2],
        )
        assert theirs["fingerprintAlgorithm"] == "sha-256"


async def test_the_last_report_outlives_the_connection(joined) -> None:
    async with PeerConnection() as a, PeerConnection() as b:
        channel = a.create_data_channel("x")
        assert (await a.stats())["T"]["dtlsState"] == "new"
        await joined(a, b)
        await channel.send("hello")
        async with asyncio.timeout(WITHIN):
            await a.close()
            await b.closed()
        for end in (a, b):
            report = await end.stats()
            assert report["T"]["dtlsState"] == "closed"
            assert report["T"]["bytesSent"] > 0


async def test_a_failed_connection_says_so() -> None:
    async with PeerConnection() as a, PeerConnection() as b:
        a.create_data_channel("x")
        offer = await a.create_offer()
        answer = await b.accept(offer)
        # Another certificate than the one that will be shown.
        wrong = re.sub(
            r"(a=fingerprint:sha-256 )(..)", lambda m: m[1] + f"{int(m[2], 16) ^ 1:02X}", answer.sdp
        )
        await a.set_answer(SessionDescription("answer", wrong))
        async with asyncio.timeout(WITHIN):
            await a.closed()
        assert a.connection_state == "failed"
        assert (await a.stats())["T"]["dtlsState"] == "failed"


async def test_both_ends_name_the_same_stream(joined, h264: list[EncodedFrame]) -> None:
    async with PeerConnection() as a, PeerConnection() as b:
        line = a.add_transceiver("video", direction="sendonly")
        await joined(a, b)
        line.send(h264[0])
        async with asyncio.timeout(WITHIN):
            while "ssrc" not in (came := (await b.stats())[f"I{line.mid}"]):
                line.send(h264[0])
                await asyncio.sleep(0.05)
        out = (await a.stats())[f"O{line.mid}"]
        assert out["ssrc"] == came["ssrc"] != 0
        assert out["retransmittedPacketsSent"] == 0


async def test_a_far_end_that_takes_only_fir_is_asked_by_it(h264: list[EncodedFrame]) -> None:
    """RFC 5104; what is not negotiated is not sent (RFC 4585, section 4.2)."""
    async with PeerConnection() as a, PeerConnection() as b:
        line = a.add_transceiver("video", direction="sendonly")
        asked = asyncio.Event()
        line.on_keyframe_request = asked.set
        offer = (await a.create_offer()).sdp
        assert " nack pli" in offer
        assert " ccm fir" in offer
        offer = re.sub(r"a=rtcp-fb:\d+ nack pli\r\n", "", offer)
        await a.set_answer(await b.accept(SessionDescription("offer", offer)))
        await asyncio.gather(a.connected(), b.connected())
        receiver = b.transceivers[0]
        async with asyncio.timeout(WITHIN):
            line.send(h264[0])
            line.send(h264[1])
            await receiver.receive()
            receiver.request_keyframe()
            await asked.wait()
            while not (out := (await a.stats())[f"O{line.mid}"])["firCount"]:
                line.send(h264[0])
                await asyncio.sleep(0.05)
        assert out["pliCount"] == 0
