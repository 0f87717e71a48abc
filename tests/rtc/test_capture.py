"""A capture of decrypted packets, read by scapy, which shares no code with what wrote it."""

from __future__ import annotations

import asyncio
import logging
import stat
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.rtp import RTP
from scapy.layers.sctp import SCTPChunkData
from scapy.utils import PcapNgReader

from plait.rtc import PeerConnection

if TYPE_CHECKING:
    from pathlib import Path

    from plait.rtc import EncodedFrame

WITHIN = 20


async def test_media_and_messages_are_read_back(
    joined, tmp_path: Path, h264: list[EncodedFrame], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "call.pcapng"
    with caplog.at_level(logging.WARNING, "plait.rtc"):
        a = PeerConnection(capture=path)
    assert f"DECRYPTED, to {path}" in caplog.text
    async with a, PeerConnection() as b:
        channel = a.create_data_channel("secrets")
        line = a.add_transceiver("video", direction="sendonly")
        await joined(a, b)
        async with asyncio.timeout(WITHIN):
            await channel.opened()
            await channel.send("the cellar key is under the mat")
            for frame in h264[:5]:
                line.send(frame)
            await b.transceivers[0].receive()
            while not (report := await a.stats()).get("RI" + line.mid):
                line.send(h264[5])
                await asyncio.sleep(0.05)
        ssrc = report["O" + line.mid]["ssrc"]
        ours = report[report["CP"]["localCandidateId"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with PcapNgReader(str(path)) as reader:
        packets = list(reader)
    messages = [bytes(packet[SCTPChunkData].data) for packet in packets if SCTPChunkData in packet]
    assert b"the cellar key is under the mat" in messages
    sent = [packet for packet in packets if UDP in packet and packet[UDP].sport == ours["port"]]
    rtp = [RTP(bytes(packet[UDP].payload)) for packet in sent if _second(packet) < 192]
    assert ssrc in {packet.sourcesync for packet in rtp}
    assert any(packet.payload.load in h264[0].data for packet in rtp)
    # RTCP both ways: our sender reports, the far end's receiver reports (RFC 3550: 200, 201).
    assert {200, 201} <= {_second(packet) for packet in packets if UDP in packet}
    for packet in packets:
        head = packet[IP] if IP in packet else packet[IPv6]
        assert type(head)(bytes(head)).payload.name in ("UDP", "SCTP")
        for layer in (IP, UDP):
            if layer in packet:
                _has_true_checksum(head, layer)


def _second(packet) -> int:
    return bytes(packet[UDP].payload)[1]


def _has_true_checksum(head, layer) -> None:
    again = type(head)(bytes(head))
    told = again[layer].chksum
    del again[layer].chksum
    # scapy fills it in where it is missing.
    assert type(head)(bytes(again))[layer].chksum == told


async def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        PeerConnection(capture=path)
    assert path.read_text() == "mine"
