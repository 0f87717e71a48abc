"""WebRTC for asyncio, with W3C names, on a native engine.

async with PeerConnection() as peer:
    channel = peer.create_data_channel("chat")
    offer = await peer.create_offer()          # hand it to the far end, get its answer back
    await peer.set_answer(answer)
    await channel.send("hello")
"""

from plait.rtc.certificate import Certificate
from plait.rtc.channel import DataChannel
from plait.rtc.engine import Engine
from plait.rtc.errors import ChannelClosed, NegotiationError, NoCommonCodec, PeerClosed, RtcError
from plait.rtc.forward import Forwarder, Forwarding, SourceLost
from plait.rtc.ice import IceCandidate, IceCandidateError, IceServer, SessionDescription
from plait.rtc.negotiation import PerfectNegotiation
from plait.rtc.peer import PeerConnection
from plait.rtc.track import EncodedFrame, Transceiver

__all__ = [
    "Certificate",
    "ChannelClosed",
    "DataChannel",
    "EncodedFrame",
    "Engine",
    "Forwarder",
    "Forwarding",
    "IceCandidate",
    "IceCandidateError",
    "IceServer",
    "NegotiationError",
    "NoCommonCodec",
    "PeerClosed",
    "PeerConnection",
    "PerfectNegotiation",
    "RtcError",
    "SessionDescription",
    "SourceLost",
    "Transceiver",
]
