"""Negotiation, addresses, states, statistics and the certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.rtc import (
    Certificate,
    IceCandidate,
    NegotiationError,
    PeerClosed,
    PeerConnection,
    SessionDescription,
)

HOST = "candidate:1 1 udp 2113929471 127.0.0.1 40000 typ host"


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
        return True


def address(line: str) -> str:
    return line.split()[4]


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
async def test_over_one_address_family(peers, joined, ip):
    if ":" in ip and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    a, b = peers
    a.create_data_channel("x")
    await joined(a, b, keep=lambda line: address(line) == ip)
    report = await a.stats()
    # Any address of this machine reaches its loopback address, so only the family is certain.
    for end in ("localCandidateId", "remoteCandidateId"):
        assert (":" in report[report["CP"][end]]["address"]) == (":" in ip)


async def test_candidates_are_told_and_end(peers):
    a, _ = peers
    queue: asyncio.Queue = asyncio.Queue()
    a.on_ice_candidate = queue.put_nowait
    a.create_data_channel("x")
    offer = await a.create_offer()
    lines = []
    while (candidate := await asyncio.wait_for(queue.get(), 5)) is not None:
        lines.append(candidate.candidate)
    assert "127.0.0.1" in [address(line) for line in lines]
    assert all(f"a={line}" in offer.sdp for line in lines)


async def test_candidates_alone_are_enough_when_they_come_late_or_early(peers):
    a, b = peers
    a.create_data_channel("x")
    late: list[IceCandidate] = []
    a.on_ice_candidate = lambda candidate: candidate and late.append(candidate)
    b.on_ice_candidate = lambda candidate: candidate and late.append(candidate)
    offer = await a.create_offer()
    await asyncio.sleep(0.05)
    # Early: before the answerer knows of the offer. None of them is in a description.
    for candidate in late:
        b.add_ice_candidate(candidate)

    def bare(sdp: str) -> str:
        return "".join(line + "\r\n" for line in sdp.splitlines() if "candidate" not in line)

    answer = await b.accept(SessionDescription("offer", bare(offer.sdp)))
    await a.set_answer(SessionDescription("answer", bare(answer.sdp)))
    async with asyncio.timeout(10):
        await asyncio.gather(a.connected(), b.connected())


async def test_without_loopback_it_is_not_offered():
    async with PeerConnection(loopback=False) as a:
        a.create_data_channel("x")
        sdp = (await a.create_offer()).sdp
    assert "127.0.0.1" not in sdp
    assert "::1 " not in sdp


async def test_what_is_of_no_use_is_ignored_and_counted(peers, joined):
    a, b = peers
    a.create_data_channel("x")
    b.add_ice_candidate(IceCandidate("candidate:1 1 udp 2113937151 3a5c.77.local 40000 typ host"))
    b.add_ice_candidate(IceCandidate("candidate:1 1 tcp 1518280447 127.0.0.1 9 typ host tcptype active"))
    b.add_ice_candidate(IceCandidate(""))
    b.add_ice_candidate(None)
    await joined(a, b)
    assert b.candidates_ignored == 2


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "candidate:",
        HOST.replace("40000", "99999"),
        HOST.replace("127.0.0.1", "300.0.0.1"),
        HOST.replace("typ host", "typ ghost"),
        HOST.replace("2113929471", "-1"),
        "\x00" * 50,
        HOST.replace("127.0.0.1", "0.0.0.0"),
    ],
)
async def test_a_candidate_that_is_none_is_refused(peers, line):
    with pytest.raises(ValueError, match=r"\w"):
        peers[0].add_ice_candidate(IceCandidate(line))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(line=st.one_of(st.text(), st.text().map(lambda tail: HOST + " " + tail)))
async def test_any_text_is_a_candidate_or_a_value_error(line):
    async with PeerConnection() as peer:
        try:
            peer.add_ice_candidate(IceCandidate(line))
        except ValueError:
            return


async def test_garbage_descriptions_are_refused_and_the_peer_lives_on(peers, joined):
    a, b = peers
    a.create_data_channel("x")
    offer = await a.create_offer()
    lines = offer.sdp.splitlines(keepends=True)
    without = {
        name: "".join(line for line in lines if not line.startswith(name))
        for name in ("v=", "m=", "a=ice-ufrag", "a=mid")
    }
    for sdp in ("", "garbage", "v=0", "\x00" * 1000, offer.sdp[: len(offer.sdp) // 2], *without.values()):
        with pytest.raises(NegotiationError):
            await b.accept(SessionDescription("offer", sdp))
        with pytest.raises(NegotiationError):
            await b.set_answer(SessionDescription("answer", sdp))
    with pytest.raises(ValueError, match="too long"):
        await b.accept(SessionDescription("offer", offer.sdp + "a=x\r\n" * 100_000))
    await joined(a, b)


async def test_an_offer_without_a_fingerprint_fails_the_peer_with_a_reason(peers):
    a, b = peers
    a.create_data_channel("x")
    sdp = (await a.create_offer()).sdp
    bare = "".join(line + "\r\n" for line in sdp.splitlines() if "fingerprint" not in line)
    with pytest.raises(NegotiationError, match="fingerprint"):
        await b.accept(SessionDescription("offer", bare))
    await asyncio.wait_for(b.closed(), 5)
    assert b.connection_state == "failed"
    with pytest.raises(PeerClosed):
        await b.create_offer()


async def test_the_wrong_fingerprint_fails_both_with_a_reason(peers):
    a, b = peers
    a.create_data_channel("x")
    offer = (await a.create_offer()).sdp
    other = Certificate.generate()
    forged = offer.replace(a.certificate.fingerprint, other.fingerprint)
    assert forged != offer
    answer = await b.accept(SessionDescription("offer", forged))
    await a.set_answer(answer)
    with pytest.raises(PeerClosed, match="fingerprint"):
        await asyncio.wait_for(b.connected(), 15)
    assert b.connection_state == "failed"


async def test_an_offer_of_nothing_is_refused(peers):
    with pytest.raises(NegotiationError, match="nothing to negotiate"):
        await peers[0].create_offer()


async def test_an_unknown_codec_is_named(peers):
    a, _ = peers
    a.add_transceiver("video", codecs=("H263",))
    with pytest.raises(NegotiationError, match="H263"):
        await a.create_offer()


async def test_states_come_in_order_and_end_with_the_reason(joined):
    a, b = PeerConnection(), PeerConnection()
    states: dict[str, list[str]] = {"a": [], "b": []}
    a.on_connection_state_change = states["a"].append
    b.on_connection_state_change = states["b"].append
    a.create_data_channel("x")
    await joined(a, b)
    await a.close()
    assert await asyncio.wait_for(b.closed(), 5) == "the far end closed the connection"
    assert a.close_reason == "closed here"
    assert states["a"] == states["b"] == ["connecting", "connected", "closed"]
    await a.close()
    await b.close()
    with pytest.raises(PeerClosed, match="closed here"):
        await a.create_offer()
    with pytest.raises(PeerClosed):
        a.create_data_channel("y")
    with pytest.raises(PeerClosed):
        await a.connected()


async def test_later_lines_by_a_second_negotiation(peers, joined, h264):
    a, b = peers
    a.create_data_channel("x")
    await joined(a, b)
    line = a.add_transceiver("video", direction="sendonly")
    tracks: asyncio.Queue = asyncio.Queue()
    b.on_track = tracks.put_nowait
    await a.set_answer(await b.accept(await a.create_offer()))
    theirs = await asyncio.wait_for(tracks.get(), 5)
    for frame in h264[:3]:
        assert line.send(frame)
    assert (await asyncio.wait_for(theirs.receive(), 10)).keyframe


async def test_statistics_have_their_w3c_names(peers, joined, h264):
    a, b = peers
    channel = a.create_data_channel("x", protocol="p")
    line = a.add_transceiver("video", direction="sendonly")
    await joined(a, b)
    await channel.send(b"12345")
    for number in range(30):
        span = number * (h264[-1].timestamp + 3600)
        for frame in h264[:40]:
            line.send(type(frame)(frame.data, frame.timestamp + span, frame.keyframe, frame.codec))
            await asyncio.sleep(0.005)
        sent, received = await a.stats(), await b.stats()
        if "currentRoundTripTime" in sent["CP"] and f"RI{line.mid}" in sent:
            break
    by_type = {entry["type"]: entry for entry in sent.values()}
    assert {
        "candidate-pair",
        "local-candidate",
        "remote-candidate",
        "transport",
        "outbound-rtp",
        "remote-inbound-rtp",
        "data-channel",
        "certificate",
    } == by_type.keys()
    pair = sent["CP"]
    assert pair["nominated"] is True
    assert pair["state"] == "succeeded"
    assert 0 <= pair["currentRoundTripTime"] < 1
    for end in ("localCandidateId", "remoteCandidateId"):
        assert sent[pair[end]]["candidateType"] in ("host", "prflx")
        assert sent[pair[end]]["protocol"] == "udp"
        assert 0 < sent[pair[end]]["port"] < 65536
    assert sent["T"]["selectedCandidatePairId"] == "CP"
    assert (
        by_type["data-channel"]
        | {
            "label": "x",
            "protocol": "p",
            "state": "open",
            "messagesSent": 1,
            "bytesSent": 5,
        }
        == by_type["data-channel"]
    )
    assert by_type["outbound-rtp"]["framesSent"] > 0
    assert by_type["outbound-rtp"]["packetsSent"] > 0
    assert sent["CERT-local"]["fingerprint"] in a.certificate.fingerprint
    inbound = next(entry for entry in received.values() if entry["type"] == "inbound-rtp")
    assert inbound["kind"] == "video"
    assert inbound["framesReceived"] > 0
    assert all({"id", "type", "timestamp"} <= entry.keys() for entry in sent.values())
    assert all(key == entry["id"] for key, entry in sent.items())


async def test_a_certificate_is_kept_for_life(joined):
    made = Certificate.generate()
    again = Certificate.from_pem(made.pem)
    assert again.fingerprint == made.fingerprint
    assert ssl.PEM_cert_to_DER_cert(made.pem[made.pem.index("-----BEGIN CERT") :]) == made.der
    for _ in range(2):
        async with PeerConnection(certificate=again) as a, PeerConnection() as b:
            a.create_data_channel("x")
            assert f"a=fingerprint:{made.fingerprint}" in (await a.create_offer()).sdp
            await joined(a, b)


@pytest.mark.parametrize(
    "pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"]
)
def test_a_pem_that_is_none_is_refused(pem):
    with pytest.raises(ValueError, match=r"\w"):
        Certificate.from_pem(pem)


async def test_a_certificate_of_garbage_fails_that_peer_only(peers, joined):
    broken = PeerConnection(certificate=Certificate(b"not", b"one"))
    broken.create_data_channel("x")
    with pytest.raises(PeerClosed, match="the engine failed"):
        await broken.create_offer()
    a, b = peers
    a.create_data_channel("x")
    await joined(a, b)


async def test_statistics_tell_every_pair_that_was_tried(peers, joined):
    a, b = peers
    a.create_data_channel("x")
    a.add_ice_candidate(IceCandidate("candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"))
    await joined(a, b)
    async with asyncio.timeout(15):
        while True:
            report = await a.stats()
            pairs = [entry for entry in report.values() if entry["type"] == "candidate-pair"]
            nobody = [pair for pair in pairs if report[pair["remoteCandidateId"]]["port"] == 9]
            if nobody and report.get("CP", {}).get("requestsReceived"):
                break
            await asyncio.sleep(0.05)  # what checks are sent, nothing tells
    assert (nobody[0]["state"], nobody[0]["responsesReceived"]) == ("in-progress", 0)
    assert nobody[0]["requestsSent"] > 0
    assert nobody[0]["nominated"] is False
    assert (report["CP"]["state"], report["CP"]["nominated"]) == ("succeeded", True)
    assert report["CP"]["requestsSent"] > 0
    assert all(report[pair[end]] for pair in pairs for end in ("localCandidateId", "remoteCandidateId"))
