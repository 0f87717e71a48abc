"""Why a connection is over, as docs/engine.md lists it.

Silence and consent are in test_consent.py, a stopped engine in test_engine.py.
"""

from __future__ import annotations

import asyncio

import pytest

from plait.rtc import Certificate, NegotiationError, PeerClosed, SessionDescription


async def test_closed_here_and_by_the_far_end(peers, joined):
    a, b = peers
    channel = a.create_data_channel("x")
    await joined(a, b)
    await channel.opened()
    await a.close()
    assert (a.connection_state, a.close_reason) == ("closed", "closed here")
    assert await asyncio.wait_for(b.closed(), 10) == "the far end closed the connection"
    assert b.connection_state == "closed"


async def test_a_description_that_cannot_be_used(peers):
    a, b = peers
    a.create_data_channel("x")
    lines = (await a.create_offer()).sdp.splitlines()
    bare = "".join(line + "\r\n" for line in lines if "fingerprint" not in line)
    with pytest.raises(NegotiationError, match="fingerprint"):
        await b.accept(SessionDescription("offer", bare))
    assert await asyncio.wait_for(b.closed(), 10) == "the description could not be used"
    assert b.connection_state == "failed"


async def test_another_certificate_than_the_description_says(peers):
    a, b = peers
    a.create_data_channel("x")
    other = Certificate.generate()
    forged = (await a.create_offer()).sdp.replace(a.certificate.fingerprint, other.fingerprint)
    await a.set_answer(await b.accept(SessionDescription("offer", forged)))
    reason = await asyncio.wait_for(b.closed(), 20)
    assert "fingerprint" in reason
    assert b.connection_state == "failed"
    with pytest.raises(PeerClosed, match="fingerprint"):
        await b.connected()


@pytest.mark.long
async def test_no_candidate_pair_that_works(peers):
    a, b = peers
    a.create_data_channel("x")

    def without_candidates(description):
        kept = [line for line in description.sdp.splitlines() if not line.startswith("a=candidate")]
        return SessionDescription(description.type, "\r\n".join(kept) + "\r\n")

    offer = without_candidates(await a.create_offer())
    await a.set_answer(without_candidates(await b.accept(offer)))
    reasons = await asyncio.wait_for(asyncio.gather(a.closed(), b.closed()), 45)
    # DTLS, which has waited as long for a path to shake hands on, may be the first of the two to give up.
    gave_up = {"no connection within 30 s: no candidate pair worked", "DTLS error: timeout: handshake"}
    assert set(reasons) <= gave_up
    assert a.connection_state == b.connection_state == "failed"
