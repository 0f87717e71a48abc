"""Descriptions and candidates, as they travel through signaling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class SessionDescription:
    """A session description (RFC 8829, W3C RTCSessionDescription)."""

    type: Literal["offer", "answer"]
    sdp: str


@dataclass(frozen=True)
class IceCandidate:
    """An ICE candidate (W3C RTCIceCandidateInit).

    Attributes:
        candidate: a line as in RFC 8839 section 5.1, `candidate:…`, with or without `a=`.
        sdp_mid: the media line it belongs to; all lines are bundled, so it makes no difference here.
        sdp_m_line_index: the same by number.
    """

    candidate: str
    sdp_mid: str | None = None
    sdp_m_line_index: int | None = None


@dataclass(frozen=True)
class IceServer:
    """A STUN or TURN server (W3C RTCIceServer).

    Attributes:
        urls: `stun:…`, `turn:…` or `turns:…` (RFC 7064, RFC 7065).
        username: for TURN.
        credential: for TURN; kept out of `repr`.
        authorities: PEM of the certificate authorities that a `turns:` server's certificate is checked with;
            the system's where empty.
    """

    urls: str | tuple[str, ...]
    username: str = ""
    credential: str = field(default="", repr=False)
    authorities: str = field(default="", repr=False)

    @classmethod
    def from_dict(cls, server: Mapping[str, Any]) -> IceServer:
        """Return the server that a W3C RTCIceServer dictionary means, as signaling carries it.

        `authorities` is a member of ours, which browsers pass over: see docs/protocol.md.

        Raises:
            ValueError: it has no urls.
        """
        urls = server.get("urls")
        if not urls:
            raise ValueError("An ICE server needs its urls")
        return cls(
            (urls,) if isinstance(urls, str) else tuple(urls),
            str(server.get("username", "")),
            str(server.get("credential", "")),
            str(server.get("authorities", "")),
        )


@dataclass(frozen=True)
class IceCandidateError:
    """A STUN or TURN server that gave no candidate, or lost one (W3C RTCPeerConnectionIceErrorEvent).

    Attributes:
        url: the server.
        address: what its name resolved to; empty where it did not.
        port: of the server.
        error_code: what the server answered, 401 for wrong credentials; 701 where it could not be reached.
        error_text: the same in words.
    """

    url: str
    address: str
    port: int
    error_code: int
    error_text: str
