"""What every transport is to its owner: whole messages in order, until it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class TransportClosed(ConnectionError):
    """The transport is closed or closing; nothing can be sent any more."""


class Transport(Protocol):
    """One live connection that moves whole encoded messages, both ways.

    Everything happens on the event loop's thread. The three callbacks are set by the owner before the first
    message arrives; `on_close` comes exactly once, after the last message.

    Attributes:
        text: messages travel as JSON in text frames; otherwise as MessagePack in binary ones.
        peer: the far end's address, for logs.
        authority: at the listening end, the name and port by which the far end called us (the Host header of
            RFC 9110, section 7.2), as it says; empty where that is not known.
        on_message: called with each whole message, in order.
        on_close: called with the close code (RFC 6455, section 7.4; 1006 where the connection just broke) and
            the reason.
        on_writable: called when `buffered` has fallen below the low-water mark.
    """

    text: bool
    peer: str
    authority: str
    on_message: Callable[[bytes], None]
    on_close: Callable[[int, str], None]
    on_writable: Callable[[], None]

    def send(self, data: bytes) -> None:
        """Queue one message; never wait.

        Raises:
            TransportClosed: it is closed or closing.
        """

    @property
    def buffered(self) -> int:
        """Bytes that are not yet written to the kernel."""

    def check_address(self) -> None:
        """Break it at once where this machine has lost the address that it was made from."""

    async def drain(self) -> None:
        """Wait until writing may go on; return at once where it may, or where the transport is closed."""

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and close, once what is queued is written. Closing twice does nothing."""
