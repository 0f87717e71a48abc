# ruff: noqa: PYI021 - an editor shows the docstrings of a stub, and the native module has few
"""The native part of Plait. Applications use `plait.rtc`; this is its seam."""

from typing import final

# --- rtc -------------------------------------------------------------------------------------------

def generate_certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate: (certificate, private key), both DER."""

@final
class Engine:
    """One native thread that drives every peer of this process."""

    def __new__(cls) -> Engine: ...
    @property
    def running(self) -> bool:
        """False after `stop`, and in a forked child."""

    def mailbox(self) -> Mailbox:
        """Make a queue of events for one event loop."""

    def peer(self, mailbox: Mailbox, certificate: bytes, private_key: bytes, loopback: bool) -> Peer:
        """Make a peer whose events go to `mailbox`. Certificate and key: DER."""

    def stop(self) -> None:
        """Close all peers, with their goodbyes, and end the thread."""

@final
class Mailbox:
    """Events for one event loop. When it is dropped, the engine closes its peers."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `drain` has something."""

    def drain(self, limit: int) -> list[tuple[int, int, tuple[object, ...]]]:
        """Take at most `limit` events: (peer id, kind, arguments)."""

@final
class Peer:
    """One peer connection. Requests are numbered by the caller and answered by events."""

    @property
    def id(self) -> int: ...
    @property
    def max_message_size(self) -> int:
        """The longest message that the far end takes, in bytes; 0 until it has said."""

    def offer(self, request: int, media: list[tuple[str, str]], codecs: list[str], /) -> None: ...
    def accept(self, request: int, sdp: str, codecs: list[str], /) -> None: ...
    def answer(self, request: int, sdp: str, /) -> None: ...
    def add_candidate(self, line: str, /) -> bool:
        """Add a remote candidate; False if it is of no use; ValueError if it is none."""

    def channel(
        self,
        key: int,
        label: str,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_life_time: int | None,
        protocol: str,
        negotiated: int | None,
        /,
    ) -> Channel:
        """Make a channel; `key` names it in events, and is below 2**32."""

    def send_frame(self, mid: str, codec: str, timestamp: int, data: bytes, /) -> bool:
        """Queue a frame; False if too much waits already."""

    def request_keyframe(self, mid: str, /) -> None: ...
    def stats(self, request: int, /) -> None: ...
    def close(self) -> None: ...

@final
class Channel:
    """One data channel."""

    @property
    def key(self) -> int: ...
    @property
    def buffered_amount(self) -> int:
        """Bytes handed over and not acknowledged by the far end."""

    def send(self, data: bytes, binary: bool, /) -> int:
        """Queue a message and return the buffered amount after it; BufferError above 64 MiB."""

    def wait_low(self, low: int, /) -> bool:
        """Ask to be told when at most `low` bytes are buffered; False if that is so already."""

    def consumed(self, size: int, /) -> None:
        """Tell that the application has read `size` bytes of what came in."""

    def close(self) -> None: ...
