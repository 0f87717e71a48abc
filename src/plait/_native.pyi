# ruff: noqa: PYI021 - an editor shows the docstrings of a stub, and the native module has few
"""The native part of Plait. Applications use `plait.rtc`; this is its seam."""

from collections.abc import Sequence
from typing import final

__all__ = [
    "Channel",
    "Door",
    "Engine",
    "Forwarder",
    "Mailbox",
    "Peer",
    "TurnServer",
    "ed25519_public",
    "ed25519_sign",
    "ed25519_verify",
    "generate_certificate",
    "set_log_level",
    "stun_answer",
    "stun_request",
]

# --- rtc -------------------------------------------------------------------------------------------

def generate_certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate: (certificate, private key), both DER."""

def ed25519_public(seed: bytes, /) -> bytes:
    """Return the public key of a seed of 32 bytes. Raises ValueError where it has not so many."""

def ed25519_sign(seed: bytes, message: bytes, /) -> bytes:
    """Return a signature of 64 bytes."""

def ed25519_verify(public: bytes, message: bytes, signature: bytes, /) -> bool:
    """Return whether the owner of a key has signed a message so."""

def set_log_level(level: int, /) -> None:
    """Hand on what the native side has to say from one of Python's logging levels on; 255: nothing."""

def stun_request(change: tuple[bool, bool] | None, /) -> bytes:
    """Make a Binding request (RFC 8489); its answer is to come from another (address, port) (RFC 5780)."""

def stun_answer(
    request: bytes, datagram: bytes, /
) -> (
    tuple[
        tuple[str, int] | None,
        tuple[str, int] | None,
        tuple[str, int] | None,
        tuple[int, str] | None,
    ]
    | None
):
    """Read the answer to a request: (our address, OTHER-ADDRESS, RESPONSE-ORIGIN, (error code, reason)).

    None where the datagram is no answer to it.
    """

@final
class Engine:
    """Native threads that drive peers, all of them on one UDP port where one is given, or on the server's.

    Raises OSError where the port cannot be had.
    """

    def __new__(cls, threads: int, udp_port: int | None, turn: TurnServer | None, /) -> Engine: ...
    @property
    def running(self) -> bool:
        """False after `stop`, and in a forked child."""

    @property
    def load(self) -> list[int]:
        """How many peers each thread has."""

    @property
    def discarded(self) -> int:
        """Count the datagrams at the UDP port that were for no peer."""

    def mailbox(self) -> Mailbox:
        """Make a queue of events for one event loop."""

    def peer(
        self,
        mailbox: Mailbox,
        certificate: bytes,
        private_key: bytes,
        loopback: bool,
        relay_only: bool,
        servers: int,
        packets: bool,
        initial_bitrate: int | None,
        capture: str | None,
        beside: Peer | None,
        /,
    ) -> Peer:
        """Make a peer whose events go to `mailbox`; `Peer.server` will be called `servers` times.

        With `packets` its media is forwarded, and never frames. The thread of `beside` drives it, or that
        with the fewest peers.

        Certificate and key: DER.
        """

    def forwarder(self, mailbox: Mailbox, beside: Peer | None, /) -> Forwarder:
        """Make a forwarder whose events go to `mailbox`, in the thread of peer `beside`."""

    def stop(self) -> None:
        """Close all peers, with their goodbyes, and end the threads."""

@final
class Mailbox:
    """Events for one event loop. When it is dropped, the engine closes its peers."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `drain` has something."""

    def drain(self, limit: int) -> list[tuple[int, int, tuple[object, ...]]]:
        """Take at most `limit` events: (peer id, kind, arguments), and as many records for loggers.

        The peer id of a record is 0; kind 0 has (level, target, peer id, message), kind 1 the number
        of records dropped.
        """

@final
class Peer:
    """One peer connection. Requests are numbered by the caller and answered by events."""

    @property
    def id(self) -> int: ...
    @property
    def max_message_size(self) -> int:
        """The longest message that the far end takes, in bytes; 0 until it has said."""

    def offer(
        self,
        request: int,
        media: list[tuple[str, str]],
        changes: list[tuple[str, str | None]],
        ice_restart: bool,
        codecs: list[str],
        /,
    ) -> None: ...
    def rollback(self) -> None: ...
    def accept(self, request: int, sdp: str, codecs: list[str], /) -> None: ...
    def answer(self, request: int, sdp: str, /) -> None: ...
    def server(
        self,
        url: str,
        transport: str,
        addresses: list[tuple[str, int]],
        username: str,
        credential: str,
        name: str,
        authorities: str,
        /,
    ) -> None:
        """Add a STUN server (no transport) or a TURN server ("udp", "tcp", "tls"), resolved.

        Raises ValueError for authorities or a name that cannot be used.
        """

    def renew_servers(self, count: int, /) -> None:
        """Forget the servers that were added: `server` will be called so many times again."""

    def add_candidate(self, line: str, /) -> bool:
        """Add a remote candidate; False if it is of no use, or behind a name; ValueError if it is none."""

    def ignore_candidate(self) -> None:
        """Count a remote candidate that is of no use after all."""

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

    def wish_bitrate(self, desired: int, /) -> None: ...
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

    @property
    def high_water(self) -> int:
        """Bytes on their way above which a sender should wait: 1 MiB, more over a path that holds more."""
    @property
    def low_water(self) -> int:
        """And at which it should go on."""

    def send(self, data: bytes, binary: bool, /) -> int:
        """Queue a message and return the buffered amount after it; BufferError above 64 MiB."""

    def wait_low(self, low: int, /) -> bool:
        """Ask to be told when at most `low` bytes are buffered; False if that is so already."""

    def consumed(self, size: int, /) -> None:
        """Tell that the application has read `size` bytes of what came in."""

    def close(self) -> None: ...

@final
class Forwarder:
    """Hands the packets of media lines, (peer id, mid), on to other lines; closed when it is dropped.

    `bounds`: bits a second, temporal layer, layer; None where it does not matter.
    """

    @property
    def id(self) -> int: ...
    def sources(self, request: int, sources: list[tuple[int, str]], /) -> None: ...
    def add(
        self, request: int, viewer: tuple[int, str], bounds: tuple[int | None, int | None, int | None], /
    ) -> None: ...
    def limit(
        self, viewer: tuple[int, str], bounds: tuple[int | None, int | None, int | None], /
    ) -> None: ...
    def remove(self, viewer: tuple[int, str], /) -> None: ...
    def stats(self, request: int, /) -> None: ...
    def close(self) -> None: ...

# --- hub -------------------------------------------------------------------------------------------

@final
class Door:
    """Listens on one TCP port, ends TLS, and hands decrypted streams over as descriptors.

    Its native thread runs from the constructor to `close`.
    """

    def __new__(
        cls,
        host: str,
        port: int,
        *,
        cert: bytes | None = None,
        key: bytes | None = None,
        handshake_timeout: float = 10.0,
        max_connections: int = 10_000,
        max_undecided: int = 1024,
        turn: TurnServer | None = None,
    ) -> Door:
        """Listen. Port 0 takes a free one; `cert` and `key` are PEM. Raises OSError or ValueError.

        Connections that begin with STUN, outside TLS or inside, go to `turn`; without it they are refused.
        """

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens: (ip, port)."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when `accepted` has something."""

    def accepted(self) -> list[tuple[int, tuple[str, int], tuple[str, int], bool]]:
        """Take the streams that wait: (descriptor, peer (ip, port), local (ip, port), came through TLS)."""

    def released(self) -> None:
        """Say that a stream that did not come through TLS was closed; of the others it knows."""

    def reload(self, cert: bytes, key: bytes) -> None:
        """Take another certificate and key for connections to come. Raises ValueError."""

    def show_challenge(self, name: str, cert: bytes, key: bytes) -> None:
        """Show this PEM certificate to ACME servers that ask for `name` (RFC 8737). Raises ValueError."""

    def hide_challenge(self, name: str) -> None:
        """End that."""

    def stop_accepting(self) -> None:
        """Close the listening sockets; what is open stays open."""

    def counters(self) -> dict[str, int]:
        """Return `accepted`, `tls_failed`, `refused` and `expired` since the start, and `active` now."""

    def close(self, within: float = 0.0) -> None:
        """End the thread and close all; streams that Python closed get `within` seconds to reach clients."""

# --- TURN ------------------------------------------------------------------------------------------

@final
class TurnServer:
    """A STUN and TURN server (RFC 8489, RFC 8656) on UDP, with a native thread of its own.

    A client's username is `expires:call:user:thing` (unix seconds; each part percent-encoded where it
    holds a colon), its password `base64(HMAC-SHA1(secret, username))`. The thread runs from the
    constructor to `close`.
    """

    def __new__(
        cls,
        listen: Sequence[tuple[str, int]],
        *,
        secret: bytes,
        realm: str,
        relay_ports: tuple[int, int] = ...,
        published: Sequence[tuple[str, str]] = ...,
        allow: Sequence[str] = ...,
        max_allocations: int = 16,
        max_rate: int = 0,
        max_lifetime: float = 600.0,
        public_port: int = 0,
    ) -> TurnServer:
        """Bind to IP addresses and start.

        `relay_ports` are the first and last port of relayed addresses, (0, 0) or absent: whatever is free.
        `published` (none) has pairs (address here, 0.0.0.0 and :: for any; address that the world sees).
        `allow` (none) has subnets that may be peers though they are private. `max_allocations` counts per
        user, `max_rate` is bytes a second per user, both ways together (0: no limit), `max_lifetime`
        seconds, 1 to 3600. `public_port` is what the world sees of the first address's port, 0: the same.
        Raises OSError (address or port not to be had) or ValueError, each naming the cause.
        """

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens on UDP: (ip, port), in the order of `listen`."""

    def counters(self) -> dict[str, int]:
        """Return `allocations`, `users`, `calls` and `streams` as they are now, all others since the start.

        `relayed_bytes_in` and `_datagrams_in` are from clients, `_out` to clients; `refused_*` are
        requests, but `refused_rate` datagrams, and `refused_candidates` calls of `permit`.
        """

    def permit(self, call: str, user: str, address: str, port: int) -> None:
        """Let the allocations of a call's `user` reach a candidate that the other party has signaled.

        `call` and `user` are as in the username. It counts for 10 minutes, and as long as the call
        has allocations or is kept. Loopback, link-local, multicast, ports below 1024 and this
        server's own are not taken, only counted. Raises ValueError where `address` is no IP address,
        RuntimeError after `close`.
        """

    def keep(self, call: str, until: float) -> None:
        """Count the credentials of a call that goes on as valid until then, in unix seconds."""

    def revoke(self, call: str) -> None:
        """End a call's allocations at once, and take its credentials no more for a day."""

    def close(self) -> None:
        """End the thread and close every socket; may be called again."""
